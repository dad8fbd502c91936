"""Since when ReCiSt knows a cluster: on its first day it only watches."""

from __future__ import annotations

from django.db import models


class ClusterSeen(models.Model):
    """One row a cluster, made when it is first watched."""

    name = models.CharField(max_length=63, unique=True)
    first_seen_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "clusters seen"
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name
