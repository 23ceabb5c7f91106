// Filters of the gallery, and the links of the confusion tables into it. Text of models is only ever compared.
const form = document.querySelector(".filters")
if (form) {
  const cards = [...document.querySelectorAll(".card")].map(node => ({
    node, used: JSON.parse(node.dataset.used), words: node.textContent.toLowerCase(),
  }))
  const fits = (card, want) =>
    (!want.strategy || card.node.dataset.strategy === want.strategy) &&
    (!want.type || card.node.dataset.type === want.type) &&
    (!want.words || card.words.includes(want.words.toLowerCase())) &&
    (want.model ? want.model in card.used && (!want.used || card.used[want.model] === want.used)
                : !want.used || Object.values(card.used).includes(want.used))
  const filter = () => {
    const want = Object.fromEntries(new FormData(form))
    let shown = 0
    for (const card of cards) {
      card.node.hidden = !fits(card, want)
      shown += !card.node.hidden
    }
    for (const group of document.querySelectorAll("#gallery .group")) {
      group.hidden = !group.querySelector(".card:not([hidden])")
    }
    form.querySelector("output").textContent = `${shown} of ${cards.length}`
  }
  form.addEventListener("input", filter)
  form.addEventListener("reset", () => setTimeout(filter))
  form.addEventListener("submit", event => event.preventDefault())
  for (const link of document.querySelectorAll(".confusion a[data-model]")) {
    link.addEventListener("click", () => {
      form.reset()
      for (const name of ["model", "strategy", "used"]) form.elements[name].value = link.dataset[name]
      filter()
    })
  }
  form.hidden = false
  filter()
}
