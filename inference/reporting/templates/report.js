// Filters of the gallery, and the links of numbers into it. Text of models is only ever compared.
const form = document.querySelector(".filters")
if (form) {
  const cards = [...document.querySelectorAll("#gallery .card")].map(node => ({
    node, did: JSON.parse(node.dataset.did), words: node.textContent.toLowerCase(),
  }))
  const fits = (card, want) =>
    ["strategy", "type", "kind", "readings"].every(name => !want[name] || card.node.dataset[name] === want[name]) &&
    (!want.words || card.words.includes(want.words.toLowerCase())) &&
    (!want.differ || "differ" in card.node.dataset) &&
    Object.entries(card.did).some(([model, did]) =>
      (!want.model || model === want.model) &&
      (!want.used || did.used === want.used) &&
      (!want.failure || want.failure.split(" ").some(mode => did.failures.includes(mode))))
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
  for (const link of document.querySelectorAll("a.examples")) {
    link.addEventListener("click", () => {
      form.reset()
      for (const [name, value] of Object.entries(link.dataset)) {
        if (name === "differ") form.elements.differ.checked = true
        else form.elements[name].value = value
      }
      filter()
    })
  }
  form.hidden = false
  filter()
}
