"""How good forecasts are: worlds in virtual time whose future is known, because it is played to its end.

`run.play` lives through one and looks ahead every minute as the product does, through the same PromQL;
`side_by_side.played` does so with many; `scores.Scores` counts which warnings came true, which did not, and what nobody
was warned of."""
