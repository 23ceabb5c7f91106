() => {
  // A click on a question of the panel puts it into the box. A click on the picture, where the model waits for a reply,
  // leaves a ring and tells the server where it was (Gradio's own event knows no picture larger than its file).
  const write = (box, text) => {
    box.value = text
    box.dispatchEvent(new Event("input", { bubbles: true }))
  }
  const unmark = () => document.querySelector("#picture .ring")?.remove()
  const mark = (picture, event) => {
    const ring = document.createElement("i"), frame = picture.getBoundingClientRect()
    ring.className = "ring"
    ring.style.left = `${event.clientX - frame.left}px`
    ring.style.top = `${event.clientY - frame.top}px`
    picture.append(ring)
  }
  document.addEventListener("click", event => {
    const box = document.querySelector("#words textarea"), picture = event.target.closest("#picture")
    const question = event.target.closest("#panel button.question")
    if (question) {
      write(box, question.textContent)
      box.focus({ preventScroll: true })
    }
    if (event.target.closest("#send, #anew, #scenes")) unmark()
    const replying = document.querySelector("#words label").textContent.includes("reply")
    if (!picture || event.target.tagName !== "IMG" || !replying) return
    const { left, top, width, height } = event.target.getBoundingClientRect()
    const scale = Math.min(width / event.target.naturalWidth, height / event.target.naturalHeight)
    const x = (event.clientX - left - width / 2) / (scale * event.target.naturalWidth) + 0.5
    const y = (event.clientY - top - height / 2) / (scale * event.target.naturalHeight) + 0.5
    if (Math.min(x, y) < 0 || Math.max(x, y) >= 1) return
    unmark()
    mark(picture, event)
    write(document.querySelector("#pointed :is(textarea, input)"), `${x.toFixed(4)},${y.toFixed(4)}`)
  })
}
