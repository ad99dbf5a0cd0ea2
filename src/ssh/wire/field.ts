/** The field types of RFC 4251 §5, and the few compounds that our own links need. Pure. */
import { ProtocolError } from '../../base/errors.ts';
import type { Reader } from './reader.ts';
import { Writer } from './writer.ts';

export interface Field<T> {
  read(from: Reader): T;
  write(to: Writer, value: T): void;
}

// biome-ignore lint/suspicious/noExplicitAny: the element type is inferred per field
export type AnyFields = Readonly<Record<string, Field<any>>>;
export type Values<F extends AnyFields> = {
  readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never;
};

export const byte: Field<number> = { read: (r) => r.byte(), write: (w, v) => void w.byte(v) };
export const bool: Field<boolean> = { read: (r) => r.bool(), write: (w, v) => void w.bool(v) };
export const uint32: Field<number> = { read: (r) => r.uint32(), write: (w, v) => void w.uint32(v) };
export const uint64: Field<bigint> = { read: (r) => r.uint64(), write: (w, v) => void w.uint64(v) };
export const string: Field<Buffer> = { read: (r) => r.string(), write: (w, v) => void w.string(v) };
export const text: Field<string> = { read: (r) => r.text(), write: (w, v) => void w.text(v) };
export const nameList: Field<readonly string[]> = {
  read: (r) => r.nameList(),
  write: (w, v) => void w.nameList(v),
};
export const rest: Field<Buffer> = { read: (r) => r.rest(), write: (w, v) => void w.raw(v) };

/** uint32 count, then the elements. The count is bounded before anything is allocated. */
export function list<T>(element: Field<T>, maxCount: number): Field<readonly T[]> {
  return {
    read(r) {
      const count = r.uint32();
      if (count > maxCount) {
        throw new ProtocolError(`a list of ${count} where ${maxCount} is the most`);
      }
      return Array.from({ length: count }, () => element.read(r));
    },
    write(w, values) {
      w.uint32(values.length);
      for (const value of values) {
        element.write(w, value);
      }
    },
  };
}

/** Several fields in a row, as one value. */
export function record<F extends AnyFields>(fields: F): Field<Values<F>> {
  const entries = Object.entries(fields);
  return {
    read(r) {
      const values: Record<string, unknown> = {};
      for (const [name, field] of entries) {
        values[name] = field.read(r);
      }
      return values as Values<F>;
    },
    write(w, values) {
      for (const [name, field] of entries) {
        field.write(w, values[name as keyof F]);
      }
    },
  };
}

export function encodeFields<F extends AnyFields>(fields: F, values: Values<F>): Buffer {
  const to = new Writer();
  record(fields).write(to, values);
  return to.done();
}
