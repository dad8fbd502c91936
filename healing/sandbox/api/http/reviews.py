"""Questions about identity and rights: reviews that are answered and never stored."""

from __future__ import annotations

from healing.sandbox.api import errors
from healing.sandbox.api.authn import Authenticator
from healing.sandbox.api.authz import Access, Authorizer
from healing.sandbox.api.cluster import ApiServer
from healing.sandbox.api.managed import record_update
from healing.sandbox.api.meta import timestamp
from healing.sandbox.api.registry import ResourceType
from healing.sandbox.ports import Object, User


class Reviews:
    def __init__(self, server: ApiServer, authorizer: Authorizer, authenticator: Authenticator) -> None:
        self._server = server
        self._authorizer = authorizer
        self._authenticator = authenticator

    def answer(self, resource: ResourceType, data: Object, user: User, manager: str) -> Object:
        """The review with its status filled in."""
        kind = resource.kind
        review = {key: value for key, value in data.items() if key != "status"}
        review.setdefault("metadata", {})
        record_update(resource, None, review, manager, resource.api_version, "", self._server.clock())
        spec = review.get("spec") or {}
        if kind == "SelfSubjectReview":
            review["metadata"] = {"creationTimestamp": timestamp(self._server.clock())}
            review["status"] = {"userInfo": {"username": user.name, "groups": list(user.groups)}}
        elif kind == "SelfSubjectAccessReview":
            review["status"] = self._access(user, spec)
        elif kind in ("SubjectAccessReview", "LocalSubjectAccessReview"):
            if not spec.get("user") and not spec.get("groups"):
                why = "at least one of user or group must be specified"
                raise errors.invalid(kind, "authorization.k8s.io", "", [errors.invalid_value("spec.user", "", why)])
            asked = User(spec.get("user") or "", tuple(spec.get("groups") or ()))
            review["status"] = self._access(asked, spec)
        elif kind == "SelfSubjectRulesReview":
            review["status"] = self._rules(user, spec.get("namespace") or "")
        elif kind == "TokenReview":
            review["status"] = self._token(spec.get("token") or "")
        return review

    def _access(self, user: User, spec: Object) -> Object:
        attributes = spec.get("resourceAttributes")
        if attributes is not None:
            resource = attributes.get("resource") or ""
            if attributes.get("subresource"):
                resource = f"{resource}/{attributes['subresource']}"
            access = Access(
                attributes.get("verb") or "",
                attributes.get("group") or "",
                resource,
                attributes.get("namespace") or "",
                attributes.get("name") or "",
            )
        else:
            path = spec.get("nonResourceAttributes") or {}
            access = Access(path.get("verb") or "", path=path.get("path") or "/")
        return {"allowed": self._authorizer.allowed(user, access)}

    def _rules(self, user: User, namespace: str) -> Object:
        resources, paths = [], []
        if "system:masters" in user.groups:
            resources.append({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})
            paths.append({"verbs": ["*"], "nonResourceURLs": ["*"]})
        for rule in self._authorizer.rules(user, namespace):
            (paths if rule.get("nonResourceURLs") else resources).append(rule)
        return {"resourceRules": resources, "nonResourceRules": paths, "incomplete": False}

    def _token(self, token: str) -> Object:
        user = self._authenticator.user_of(token)
        if user is None:
            return {"user": {}, "error": "[invalid bearer token, Token has been invalidated]"}
        return {"authenticated": True, "user": {"username": user.name, "groups": list(user.groups)}}
