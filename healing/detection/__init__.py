"""Detection: from what the cluster, its metrics, alerts and people say to faults of workloads.

The detectors (`pods`, `workloads`, `services`, `nodes`, `metrics`) are pure: objects in, sightings out. `tracking`
decides when a sighting has lasted long enough, `reporting` whether it is news, and `watcher` feeds them.
"""
