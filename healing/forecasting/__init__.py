"""Warnings before the wound: what is heading for its limit, when it gets there, and what would help.

`rounds.look` is a round of beat's: it asks Prometheus, has `knowledge.forecasts` look ahead, and keeps
`ProactiveWarning` rows. `acting.prepare` makes an event of a warning; its fix goes through approval like any other."""
