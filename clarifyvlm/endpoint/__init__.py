"""A client of any server that speaks OpenAI's chat completions: calls, retries, cache, limits, cost, pictures."""
