/** What a desktop may be called. Names are data everywhere: never part of a path or a command. Pure. */
const idPattern = /^[0-9A-F]{32}$/;
const namePattern = /^[\p{L}\p{N}][\p{L}\p{N}\p{M} ._@:+-]{0,63}$/u;
const maxNameBytes = 128;

export const defaultName = 'default';

export function isId(text: string): boolean {
  return idPattern.test(text);
}

/** Ids are compared without regard to case. Undefined: it is not one. */
export function asId(text: string): string | undefined {
  const id = text.toUpperCase();
  return isId(id) ? id : undefined;
}

/** Never what an id looks like, so that either can be asked for in one place. */
export function isName(text: string): boolean {
  return (
    namePattern.test(text) &&
    !text.endsWith(' ') &&
    Buffer.byteLength(text) <= maxNameBytes &&
    asId(text) === undefined
  );
}
