/** A point in time as people write it: how long ago, or a date in UTC. Pure. */
const unitsMs: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** `30m`, `2d`, `2026-11-21`, `2026-11-21 10:28`, ISO 8601. Undefined: none of these. */
export function sinceMs(text: string, nowMs: number): number | undefined {
  const [, count, unit = ''] = /^(\d{1,6})([smhdw])$/.exec(text) ?? [];
  if (count !== undefined) {
    return Math.max(0, nowMs - Number(count) * (unitsMs[unit] ?? 0));
  }
  const [, day, time = '00:00'] =
    /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?)Z?)?$/.exec(text) ?? [];
  const parsed = day === undefined ? Number.NaN : Date.parse(`${day}T${time}Z`);
  return Number.isNaN(parsed) ? undefined : Math.max(0, parsed);
}
