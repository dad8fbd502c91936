// Sentences for people come from the template, where they can be translated.
const template = document.getElementById("words");

/** The sentence called `name` ("notLive" is data-not-live), with {count} and the like filled in. */
export function words(name, values = {}) {
  const text = template?.dataset[name] ?? "";
  return text.replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);
}
