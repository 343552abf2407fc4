"""Project budgets: stages become lines of money, lines fall into months, months meet the funding."""
