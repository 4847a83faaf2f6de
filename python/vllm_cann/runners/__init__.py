"""What is specific to a model runner of vLLM, one file for each. The worker alone imports them."""
