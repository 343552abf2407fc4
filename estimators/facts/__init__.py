"""The only room that reads data files: loads, checks and looks up facts, ours and the user's overlays."""
