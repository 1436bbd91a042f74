"use strict";

const at = (id) => document.getElementById(id);
const shown = [];
let running = null;

function say(text, failed = false) {
  at("status").textContent = text;
  at("status").classList.toggle("failed", failed);
}

function headers() {
  const token = at("token").value;
  return token ? { Authorization: `Bearer ${token}` } : {};
}

async function loadModels() {
  const answer = await fetch("v1/models", { headers: headers() });
  if (answer.status === 401) {
    at("token-field").hidden = false;
    say("This service asks for a token.");
    return;
  }
  const { models } = await answer.json();
  at("model").replaceChildren(
    ...models.map(({ name, scale }) => new Option(scale > 1 ? `${name} (x${scale})` : name, name)),
  );
}

function show(image, blob) {
  const url = URL.createObjectURL(blob);
  shown.push(url);
  image.src = url;
  return url;
}

function forget() {
  while (shown.length) URL.revokeObjectURL(shown.pop());
}

async function restore(file) {
  running?.abort();
  const control = (running = new AbortController());
  forget();
  at("result").hidden = true;
  at("stop").hidden = false;
  say(`Restoring ${file.name} ...`);
  const query = new URLSearchParams({ model: at("model").value });
  if (at("format").value) query.set("format", at("format").value);
  const began = performance.now();
  try {
    const answer = await fetch(`v1/restore?${query}`, {
      method: "POST",
      headers: headers(),
      body: file,
      signal: control.signal,
    });
    if (!answer.ok) {
      const problem = await answer.json();
      say(problem.detail, true);
      return;
    }
    const result = await answer.blob();
    show(at("before"), file);
    at("download").href = show(at("after"), result);
    at("download").download = file.name.replace(/\.[^.]*$/, "") + "-restored." + suffixOf(answer);
    at("sizes").textContent = `${answer.headers.get("x-size")} pixels`;
    at("result").hidden = false;
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    const notes = answer.headers.get("x-notes");
    say(`Done in ${seconds} s.${notes ? ` ${notes}` : ""}`);
  } catch (error) {
    say(error.name === "AbortError" ? "Stopped." : "The service cannot be reached.", true);
  } finally {
    if (running === control) at("stop").hidden = true;
  }
}

function suffixOf(answer) {
  return /filename="restored\.(\w+)"/.exec(answer.headers.get("content-disposition"))?.[1] ?? "png";
}

function take(files) {
  const file = [...files].find(({ type }) => type.startsWith("image/")) ?? files[0];
  if (file) restore(file);
}

at("file").addEventListener("change", ({ target }) => take(target.files));
at("stop").addEventListener("click", () => running?.abort());
at("token").addEventListener("change", loadModels);
at("slider").addEventListener("input", ({ target }) => {
  at("compare").style.setProperty("--at", `${target.value}%`);
});
document.addEventListener("paste", ({ clipboardData }) => take(clipboardData.files));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  at("drop").classList.add("over");
});
document.addEventListener("dragleave", () => at("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  take(event.dataTransfer.files);
});
loadModels();
