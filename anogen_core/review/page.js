// Names from the dataset reach the page as text or attributes only, never as markup.
const SVG = "http://www.w3.org/2000/svg";
const SAID = { accept: "accepted", reject: "rejected", fix: "fixed", none: "undecided" };
const token = document.querySelector("meta[name=token]").content;
const byId = (id) => document.getElementById(id);

let about;
let view;
let fixing = false;
let drawn = null; // {x, y, width, height} in whole pixels
let work = Promise.resolve();

/** Do one thing after the other: a key never acts on an image that is not shown yet. */
function enqueue(action) {
  work = work.then(action).then(() => true, (error) => { say(error.message); return false; });
  return work;
}

function say(text) {
  byId("message").textContent = text;
  byId("message").hidden = !text;
}

async function call(path, body) {
  let answer;
  try {
    const post = { method: "POST", headers: { "X-Review-Token": token }, body: JSON.stringify(body ?? null) };
    answer = await fetch(path, body === undefined ? {} : post);
  } catch {
    throw new Error("The review is not running any more. Start `anogen review` again, then reload this page.");
  }
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.error);
  return value;
}

const address = (kind, row) => `${kind}/${row}?of=${about.digest.slice(0, 16)}`;

async function show(row, step = 0) {
  const query = new URLSearchParams({ row, step });
  for (const name of ["defect", "decision"]) if (byId(name).value) query.set(name, byId(name).value);
  view = await call(`api/view?${query}`);
  fixing = false;
  drawn = null;
  say(view.current?.error ?? "");
  draw();
}

function draw() {
  for (const [name, count] of Object.entries(view.counts)) byId(`count-${name}`).textContent = count.toLocaleString("en");
  const current = view.current;
  byId("panels").hidden = !current;
  byId("verdict").className = current?.decision ?? "";
  byId("verdict").textContent = current ? SAID[current.decision] : "";
  byId("request").textContent = current ? current.request_id : "No image matches the filter.";
  byId("position").textContent = current ? `${(view.position + 1).toLocaleString("en")} of ${view.total.toLocaleString("en")}` : "";
  byId("facts").textContent = current ? facts(current) : "";
  for (const panel of document.querySelectorAll(".panel")) fill(panel, current);
  byId("strip").replaceChildren(...view.strip.map(thumbnail));
  preload();
  drawBox();
  document.body.dataset.row = current ? current.row : "";
}

function facts(current) {
  const parts = [`defect ${current.defect}`, `on ${current.normal_id}`];
  if (current.quality !== null) parts.push(`quality ${current.quality.toFixed(2)}`);
  if (current.confidence !== null) parts.push(`mask sure to ${Math.round(100 * current.confidence)} %`);
  if (current.pixels !== undefined) parts.push(`mask ${current.pixels.toLocaleString("en")} px`);
  if (current.who) parts.push(`by ${current.who}, ${new Date(current.when).toLocaleString()}`);
  return parts.join("  \u00b7  ");
}

function element(name, attributes) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

function fill(panel, current) {
  panel.classList.remove("missing");
  panel.replaceChildren();
  if (!current) return;
  const { width, height } = about;
  panel.style.aspectRatio = `${width} / ${height}`;
  const window = "detail" in panel.dataset && current.detail ? current.detail : [0, 0, width, height];
  const name = panel.nextElementSibling.textContent;
  const svg = element("svg", { viewBox: window.join(" "), role: "img", "aria-label": `${current.request_id}: ${name}` });
  const image = element("image", { href: address(panel.dataset.source, current.row), width, height });
  image.addEventListener("error", () => panel.classList.add("missing"));
  svg.append(image);
  if (panel.classList.contains("drawable") && current.mask !== undefined) {
    svg.append(
      element("path", { class: "box", d: current.box_mask }),
      element("path", { class: "halo", d: current.mask }),
      element("path", { class: "mask", d: current.mask }),
      element("rect", { class: "drawn", width: 0, height: 0 }),
    );
    svg.addEventListener("pointerdown", (event) => drag(svg, event));
  }
  panel.append(svg);
}

function thumbnail({ row, decision }) {
  const button = document.createElement("button");
  const image = document.createElement("img");
  image.src = address("thumbnail", row);
  image.alt = `image ${row}, ${SAID[decision]}`;
  button.className = decision;
  button.tabIndex = -1;
  if (row === view.current.row) button.setAttribute("aria-current", "true");
  button.addEventListener("click", () => { button.blur(); enqueue(() => show(row)); });
  button.append(image);
  return button;
}

/** Let the browser fetch the next images before they are asked for. */
function preload() {
  const place = view.strip.findIndex((entry) => entry.row === view.current?.row);
  for (const { row } of view.strip.slice(place + 1, place + 3)) {
    new Image().src = address("image", row);
    new Image().src = address("normal", row);
  }
}

function drawBox() {
  const panels = byId("panels");
  panels.classList.toggle("fixing", fixing);
  panels.classList.toggle("has-box", Boolean(drawn));
  for (const rect of document.querySelectorAll("rect.drawn")) {
    for (const key of ["x", "y", "width", "height"]) rect.setAttribute(key, drawn?.[key] ?? 0);
    rect.style.display = drawn ? "" : "none";
  }
  const how = drawn
    ? `Box ${drawn.width} \u00d7 ${drawn.height} px: b or Enter saves it, Esc leaves it`
    : "Drag a box around the defect; b or Enter without one takes the dashed box mask as it is, Esc leaves";
  byId("hint").textContent = fixing ? how : "";
}

function drag(svg, down) {
  if (down.button !== 0) return;
  down.preventDefault();
  const point = (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    return [Math.min(Math.max(at.x, 0), about.width), Math.min(Math.max(at.y, 0), about.height)];
  };
  const [x0, y0] = point(down);
  const move = (event) => {
    const [x1, y1] = point(event);
    const [x, y] = [Math.floor(Math.min(x0, x1)), Math.floor(Math.min(y0, y1))];
    const [width, height] = [Math.ceil(Math.max(x0, x1)) - x, Math.ceil(Math.max(y0, y1)) - y];
    if (width < 2 || height < 2) return;
    fixing = true;
    drawn = { x, y, width, height };
    drawBox();
  };
  svg.setPointerCapture(down.pointerId);
  svg.addEventListener("pointermove", move);
  const end = () => svg.removeEventListener("pointermove", move);
  for (const name of ["pointerup", "pointercancel"]) svg.addEventListener(name, end, { once: true });
}

async function judge(decision, box = null) {
  if (!view.current) return;
  const { row } = view.current;
  await call("api/judge", { row, decision, box });
  await show(row, 1);
}

async function undo() {
  const { row } = await call("api/undo", {});
  if (row === null) say("There is nothing to undo in this session.");
  else await show(row);
}

async function fix() {
  if (fixing) return judge("fix", drawn);
  if (!view.current || view.current.mask === undefined) return undefined;
  fixing = true;
  return drawBox();
}

function leave() {
  fixing = false;
  drawn = null;
  drawBox();
}

const KEYS = {
  a: () => judge("accept"),
  r: () => judge("reject"),
  b: fix,
  Enter: () => (fixing ? fix() : undefined),
  Escape: leave,
  u: undo,
  o: () => byId("panels").classList.toggle("plain"),
  ArrowRight: () => view.current && show(view.current.row, 1),
  ArrowLeft: () => view.current && show(view.current.row, -1),
  Home: () => show(0),
  End: () => show(Number.MAX_SAFE_INTEGER),
};

document.addEventListener("keydown", (event) => {
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action || event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLSelectElement) return;
  event.preventDefault();
  // A key that is held down moves, but decides only once.
  if (!event.repeat || event.key.startsWith("Arrow")) enqueue(action);
});

for (const button of document.querySelectorAll("[data-key]")) {
  button.addEventListener("click", () => { button.blur(); enqueue(KEYS[button.dataset.key]); });
}

for (const name of ["defect", "decision"]) {
  byId(name).addEventListener("change", (event) => {
    event.target.blur();
    enqueue(() => show(view.current?.row ?? 0));
  });
}

enqueue(async () => {
  about = await call("api/about");
  byId("panels").style.setProperty("--ratio", about.width / about.height);
  document.title = byId("name").textContent = about.name;
  about.defects.forEach((name, place) => byId("defect").append(new Option(name, place)));
  await show(0);
});
