// Filters and pages of the gallery, kept in the address (#gallery&model=grpo&page=2), and a hint at tables that are
// wider than the screen. Text of models is only ever compared.
const PAGE = 24
const form = document.querySelector(".filters")
if (form) {
  const pager = document.querySelector(".pager")
  const cards = [...document.querySelectorAll("#gallery .card")].map(node => ({
    node, did: JSON.parse(node.dataset.did), words: node.textContent.toLowerCase(),
  }))
  let page = 1
  const fits = (card, want) =>
    ["strategy", "type", "kind", "readings"].every(name => !want[name] || card.node.dataset[name] === want[name]) &&
    (!want.words || card.words.includes(want.words.toLowerCase())) &&
    (!want.differ || "differ" in card.node.dataset) &&
    Object.entries(card.did).some(([model, did]) =>
      (!want.model || model === want.model) &&
      (!want.used || did.used === want.used) &&
      (!want.failure || want.failure.split(" ").some(mode => did.failures.includes(mode))))
  const show = () => {
    const want = Object.fromEntries(new FormData(form))
    const found = cards.filter(card => fits(card, want))
    const pages = Math.max(1, Math.ceil(found.length / PAGE))
    page = Math.min(Math.max(1, page), pages)
    const shown = new Set(found.slice(PAGE * (page - 1), PAGE * page))
    for (const card of cards) card.node.hidden = !shown.has(card)
    for (const group of document.querySelectorAll("#gallery .group")) {
      group.hidden = !group.querySelector(".card:not([hidden])")
    }
    form.querySelector("output").textContent = `${found.length} of ${cards.length}`
    pager.hidden = pages === 1
    pager.querySelector("output").textContent = `page ${page} of ${pages}`
    pager.querySelector("[name=previous]").disabled = page === 1
    pager.querySelector("[name=next]").disabled = page === pages
    const chosen = new URLSearchParams(Object.entries(want).filter(([, value]) => value))
    if (page > 1) chosen.set("page", page)
    return `#gallery${chosen.size ? `&${chosen}` : ""}`
  }
  const keep = () => history.replaceState(null, "", show())
  const read = () => {  // the address -> the filters
    if (!/^#gallery(&|$)/.test(location.hash)) return
    form.reset()
    page = 1
    for (const [name, value] of new URLSearchParams(location.hash.slice("#gallery".length))) {
      const field = form.elements.namedItem(name)
      if (name === "page") page = Number(value) || 1
      else if (field?.type === "checkbox") field.checked = true
      else if (field) field.value = value
    }
    show()
    document.getElementById("gallery").scrollIntoView()
  }
  const turn = by => {
    page += by
    keep()
    document.getElementById("gallery").scrollIntoView()
  }
  form.addEventListener("input", () => { page = 1; keep() })
  form.elements.all.addEventListener("click", () => { form.reset(); page = 1; keep() })
  form.addEventListener("submit", event => event.preventDefault())
  pager.querySelector("[name=previous]").addEventListener("click", () => turn(-1))
  pager.querySelector("[name=next]").addEventListener("click", () => turn(1))
  addEventListener("hashchange", read)
  form.hidden = false
  show()
  read()
}
const wide = new ResizeObserver(entries => requestAnimationFrame(() => {
  for (const { target } of entries) {
    const overflows = target.scrollWidth > target.clientWidth + 1
    target.classList.toggle("wide", overflows)
    if (overflows) target.tabIndex = 0
    else target.removeAttribute("tabindex")
  }
}))
for (const node of document.querySelectorAll(".scroll")) wide.observe(node)
