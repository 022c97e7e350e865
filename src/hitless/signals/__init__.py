"""What users feel: from the log of the gateway to ticks, and the guards that read them."""
