"""Whether emails and everything behind them move, and who is told if not."""
