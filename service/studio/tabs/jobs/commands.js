/** What is done with jobs here, as commands: they run where the files of the job lie. */

import { ROOT } from "../../core/api.js";
import { cliOf, curlOf, python, pythonArguments, quoted } from "../../core/copy-as.js";
import { folderOf, requestOf, seedsOf } from "./request.js";

const URL_OF_SERVER = ROOT.href.replace(/\/$/, "");
const CLI = { "super-resolution": "upscale", translate: "translate", generate: "generate" };

/**
 * Commands that make a job again.
 *
 * @param {object} job as the API has it
 * @param {{names: string[], all: boolean}} items names of its first items, and whether these are all
 * @param {boolean} key whether calls carry a key
 */
export function makingAgain(job, { names, all }, key) {
  const files = job.operation !== "generate" && !(job.inputs?.length && !names.length);
  const listed = all ? names : null;
  const body = requestOf(job, seedsOf(job, listed));
  const folder = folderOf(names) || ".";
  return {
    curl: () => (files ? curlWithFiles(body, listed, folder, key) : curlOf({ path: "v1/jobs", json: body, key })),
    Python: () => pythonMaking(body, files ? { listed, folder } : null),
    CLI: () => cliOf(batch(job, body, folder)),
  };
}

/** Commands that tell how far a job is until it has ended. */
export function following(job, key) {
  const path = job.links.events.slice(1);
  return {
    curl: () => `${curlOf({ path, accept: "text/event-stream", key })} -N -H 'last-event-id: 0'`,
    Python: () =>
      script([
        `    for event in client.job_events(${python(job.id)}):`,
        "        if event.item and event.item.ended:",
        "            print(event.item.name, event.item.state, event.item.reason)",
        `    print(client.job(${python(job.id)}).state)`,
      ]),
    CLI: () => cliOf(["jobs", "watch", job.id]),
  };
}

/** Commands that fetch what a job made. */
export function fetching(job, key) {
  const name = `${job.id}.zip`;
  return {
    curl: () => curlOf({ path: job.links.archive.slice(1), save: name, key }),
    Python: () => script([`    print(client.job_archive(${python(job.id)}, ${python(name)}).path)`]),
    CLI: () => cliOf(["jobs", "download", job.id, "results"]),
  };
}

function script(lines, imports = []) {
  const client = `with Client(${python(URL_OF_SERVER)}) as client:`;
  return [...imports, "from service.client import Client", "", client, ...lines].join("\n");
}

function curlWithFiles(body, listed, folder, key) {
  const job = `${JSON.stringify(body)};type=application/json`;
  if (!listed) {
    // More than a command line holds: as one archive, made while it is sent.
    const call = curlOf({ path: "v1/jobs", form: { job, zip: "@-;filename=images.zip" }, key });
    return `zip -qr - ${quoted(folder)} | ${call}`;
  }
  return curlOf({
    path: "v1/jobs",
    form: { job, files: listed.map((name) => `@${inForm(name)};filename=${inForm(name)}`) },
    key,
  });
}

/** A name as curl's `-F` reads it, whatever is in it. */
const inForm = (name) =>
  /^[\w./-]+$/.test(name) ? name : `"${name.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;

function pythonMaking(body, files) {
  const { operation, model, inputs, seeds, webhook, ...rest } = body;
  const given = {
    ...rest,
    seeds: undefined,
    webhook: webhook?.url,
    prefixes: inputs?.map(({ prefix, pattern }) => ((pattern ?? null) ? [prefix, pattern] : prefix)),
  };
  const words = [python(operation), python(model)];
  const named = pythonArguments(given);
  if (named) words.push(named.replaceAll(/\[("[^"]*"), ("[^"]*")\]/g, "($1, $2)"));
  if (Array.isArray(seeds)) words.push(`seeds=${python(seeds)}`);
  else if (seeds) words.push(`seeds=range(${seeds.first}, ${seeds.first + seeds.count})`);
  if (files) words.push("files=files");
  const lines = [];
  if (files?.listed) lines.push(`    files = [(name, name) for name in ${python(files.listed)}]`);
  else if (files) {
    const below = `sorted(Path(${python(files.folder)}).rglob("*"))`;
    lines.push(`    files = [(path.as_posix(), path) for path in ${below} if path.is_file()]`);
  }
  lines.push(
    `    job = client.create_job(${words.join(", ")})`,
    "    print(client.wait_for_job(job.id).state, job.id)",
  );
  return script(lines, files && !files.listed ? ["from pathlib import Path"] : []);
}

/** The words of `ganserve batch`, which sends, waits and fetches. */
function batch(job, { parameters = {}, seeds, naming }, folder) {
  const words = ["batch", CLI[job.operation]];
  const input = job.inputs?.[0];
  if (job.operation !== "generate") words.push(input ? input.prefix : folder);
  words.push(job.destination ?? "results", "--model", job.model);
  if (seeds)
    words.push(
      "--seeds",
      Array.isArray(seeds) ? seeds.join(",") : `${seeds.first}-${seeds.first + seeds.count - 1}`,
    );
  if (input?.pattern) words.push("--pattern", input.pattern);
  for (const [name, value] of Object.entries(parameters)) words.push(...option(name, value));
  if (naming) words.push("--naming", naming);
  if (job.priority !== "normal") words.push("--priority", job.priority);
  return words;
}

function option(name, value) {
  if (value === null || value === false) return [];
  if (name === "edits")
    return Object.entries(value).flatMap(([direction, amount]) => ["--edit", `${direction}=${amount}`]);
  const flag = {
    keep_exif: "--keep-exif",
    truncation_cutoff: "--truncation-cutoff",
    rotation: "--rotate",
    translation: "--translate",
  };
  const word = flag[name] ?? `--${name}`;
  if (value === true) return [word];
  return [word, Array.isArray(value) ? value.join(",") : value];
}
