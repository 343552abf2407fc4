"""What a job keeps in accelerator memory, by component and by instant."""
