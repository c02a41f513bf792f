"""PromptAD: few-shot industrial anomaly detection with learned CLIP prompts."""
