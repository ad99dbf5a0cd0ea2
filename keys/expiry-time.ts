/**
 * The times of expiry-time= (sshd(8)): YYYYMMDD or YYYYMMDDHHMM[SS], in the system's zone unless a Z
 * follows. A day that the calendar does not have is refused. Runs in: monitor.
 */
export function parseExpiryTime(text: string): number | undefined {
  const found = /^(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)?)?(Z|UTC)?$/i.exec(text);
  if (found === null) {
    return undefined;
  }
  const [year, month, day, hour, minute, second] = found
    .slice(1, 7)
    .map((part) => Number(part ?? 0)) as [number, number, number, number, number, number];
  if (month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59) {
    return undefined;
  }
  const daysInMonth = new Date(Date.UTC(2000, month, 0)).getUTCDate();
  const isLeap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  if (year < 1970 || day > (month === 2 && !isLeap ? 28 : daysInMonth)) {
    return undefined;
  }
  return found[7] === undefined
    ? new Date(year, month - 1, day, hour, minute, second).getTime()
    : Date.UTC(year, month - 1, day, hour, minute, second);
}
