"""The command line: reads what was typed, asks the estimators, hands a document to the printers. No arithmetic here."""
