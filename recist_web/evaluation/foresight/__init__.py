"""How good forecasts are: worlds in virtual time whose future is known, because it is played to its end.

`run.measure` plays them and looks ahead every minute as the product does, through the same PromQL; `scores.Scores`
counts which warnings came true, which did not, and what nobody was warned of."""
