/**
 * A message is declared once: number, name, fields. The declaration is codec and type; trailing
 * bytes are refused. Serves SSH and our own links alike. Pure.
 */
import { ProtocolError } from '../../base/errors.ts';
import { type AnyFields, record, type Values } from './field.ts';
import { Reader } from './reader.ts';
import { Writer } from './writer.ts';

export interface Message<F extends AnyFields> {
  readonly number: number;
  readonly name: string;
  readonly fields: F;
  encode(values: Values<F>): Buffer;
  /** `payload` starts with the message number. */
  decode(payload: Buffer): Values<F>;
}
export type MessageOf<M> = M extends Message<infer F> ? Values<F> : never;

export function message<F extends AnyFields>(number: number, name: string, fields: F): Message<F> {
  const body = record(fields);
  return {
    number,
    name,
    fields,
    encode(values) {
      const to = new Writer().byte(number);
      body.write(to, values);
      return to.done();
    },
    decode(payload) {
      if (payload[0] !== number) {
        throw new ProtocolError(`${name}: message ${payload[0]} where ${number} is expected`);
      }
      const from = new Reader(payload, 1);
      const values = body.read(from);
      from.end();
      return values;
    },
  };
}
