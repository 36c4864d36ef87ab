"""Whether emails and everything behind them work, and who is alerted if not."""
