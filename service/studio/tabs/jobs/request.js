/** The body of `POST /v1/jobs` that makes a job again. */

const NAMINGS = ["{path}/{stem}.{ext}", "seed{seed:04}.{ext}"];

/** Of an image job without its files; what has its default is left out. */
export function requestOf(job, seeds) {
  const given = {
    operation: job.operation,
    model: job.model,
    parameters: job.parameters,
    inputs: job.inputs?.map(({ prefix, pattern }) => (pattern ? { prefix, pattern } : { prefix })),
    seeds,
    naming: NAMINGS.includes(job.naming) ? undefined : job.naming,
    destination: job.destination ?? undefined,
    priority: job.priority === "normal" ? undefined : job.priority,
    webhook: job.webhook ?? undefined,
    pin_digest: job.pin_digest ?? undefined,
    metadata: job.metadata,
  };
  const empty = (value) => value === undefined || (typeof value === "object" && Object.keys(value).length === 0);
  return Object.fromEntries(Object.entries(given).filter(([, value]) => !empty(value)));
}

/** The seeds of a job as its request has them; undefined if not all are known here. */
export function seedsOf(job, names) {
  if (job.operation !== "generate") return undefined;
  if (job.seeds) return job.seeds;
  return names ? names.map(Number) : undefined;
}

/** The folder that all of some names lie in, or nothing. */
export function folderOf(names) {
  const [first] = names;
  const folder = first?.includes("/") ? first.split("/")[0] : "";
  return folder && names.every((name) => name.startsWith(`${folder}/`)) ? folder : "";
}
