"""Coverage: the share of responses that a judge understands. Below MIN_COVERAGE its numbers are about the others."""

MIN_COVERAGE = 0.95  # of a model's responses, and of the natural ones in an audit; stated in docs/judge.md
OTHER_JUDGES = (
    "Take a judge that reads any English: --judge openai (a language model judges by a rubric) or --judge extract (a "
    "language model says what a response claims, code checks it)"
)
