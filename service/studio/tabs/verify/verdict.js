/** What `POST /v1/verify` found, in plain words. */

import { number } from "../../core/text.js";

/**
 * The verdict as a headline.
 *
 * @param {object} report the API's answer
 * @returns {{tone: "good"|"bad"|"warn"|"none", icon: string, title: string, text: string}}
 */
export function headline({ verdict, pixels, reproduced, c2pa, model }) {
  if (verdict === "altered") {
    return { tone: "bad", icon: "✗", title: "Changed", text: "This is not the picture that was made." };
  }
  if (verdict === "authentic") {
    const who = c2pa.trusted ? `, and signed by ${signer(c2pa)}` : "";
    const text = c2pa.trusted
      ? "A signature that is trusted here vouches for its pixels and for what made it."
      : reproduced.match === "exact"
        ? "It was made again, and every pixel is the same."
        : "It was made again; what differs is what compression or another processor's rounding explains.";
    return { tone: "good", icon: "✓", title: `Untouched${who}`, text };
  }
  if (verdict === "unsigned-claim") {
    const text = "It says what made it. Anybody can write that, and nothing here proves it.";
    if (pixels.match) {
      return { tone: "warn", icon: "≈", title: "Not touched since it was written, not proven", text };
    }
    const lost = model?.same_digest ? "" : " The model it names is not served here as it was.";
    return { tone: "warn", icon: "?", title: "Says what made it, not proven", text: text + lost };
  }
  if (verdict === "other-provenance") {
    return {
      tone: "warn",
      icon: "i",
      title: "Marked, but not by a ganserve",
      text: "It says where it comes from, but not which model, seed and parameters made it.",
    };
  }
  return {
    tone: "none",
    icon: "?",
    title: "Unknown",
    text: "Nothing in it says what made it. It may be a photograph, or its notes were removed.",
  };
}

/**
 * What was looked at, one line each: what holds, what does not, what cannot be told.
 *
 * @param {object} report
 * @returns {{name: string, state: "yes"|"no"|"unknown", text: string}[]}
 */
export function findings(report) {
  return [
    { name: "Recorded pixels", ...recorded(report) },
    { name: "Made again", ...madeAgain(report) },
    { name: "Signature", ...signature(report.c2pa) },
  ];
}

function recorded({ found, pixels, image }) {
  if (pixels.match !== null) {
    const are = pixels.match ? "are" : "are not";
    const text = `The pixels ${are} those that were recorded when it was written.`;
    return { state: pixels.match ? "yes" : "no", text };
  }
  if (!found) return { state: "unknown", text: "It records none." };
  if (pixels.recorded_sha256 === null) return { state: "unknown", text: "Its recipe records none." };
  return { state: "unknown", text: `A lossy ${image.format} never has the very pixels that were recorded.` };
}

function madeAgain({ found, recipe, model, reproduced }) {
  const { performed, match, max_difference: most, psnr, different_frames: frames, reason } = reproduced;
  if (!performed) return { state: "unknown", text: reason ?? notMade(found, recipe, model) };
  if (match === "exact") return { state: "yes", text: "Every pixel is the same." };
  const by = [
    most === null ? "" : `by up to ${most} of 255 levels`,
    psnr === null ? "" : `PSNR ${number(psnr)} dB`,
    frames?.length ? `frames ${frames.slice(0, 8).join(", ")}${frames.length > 8 ? "…" : ""}` : "",
  ].filter(Boolean);
  const how = by.length ? ` (${by.join(", ")})` : "";
  if (match === "close") return { state: "yes", text: `No more differs than compression or rounding explains${how}.` };
  return { state: "no", text: `It is another picture${how}.` };
}

function notMade(found, recipe, model) {
  if (!found) return "There is no recipe to make it from.";
  if (!model?.same_digest) return "The model is not served here with the weights that made it.";
  return "source_sha256" in recipe ? "That takes the picture it was made of." : "Not done yet.";
}

function signature(c2pa) {
  if (!c2pa.present) return { state: "unknown", text: "It has none (no C2PA manifest)." };
  const by = `${signer(c2pa)}${c2pa.signed_at ? `, ${new Date(c2pa.signed_at).toLocaleString()}` : ""}`;
  if (c2pa.valid === null) return { state: "unknown", text: "It has one, which could not be checked." };
  if (!c2pa.valid) return { state: "no", text: `It has one of ${by}, which does not hold.` };
  if (c2pa.trusted) return { state: "yes", text: `Signed by ${by}, whom this server trusts.` };
  return { state: "unknown", text: `Intact, by ${by}, whom this server does not know.` };
}

function signer({ issuer, common_name: name }) {
  return [name, issuer].filter(Boolean).join(", ") || "somebody who is not named";
}

/** What the server noticed besides, or could not tell; sentences. */
export function oddities({ problems, c2pa }) {
  return [...problems, ...c2pa.problems.map((problem) => `Signature: ${problem}`)];
}
