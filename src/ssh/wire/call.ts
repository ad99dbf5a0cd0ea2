/**
 * Calls and notices over a link that keeps frame boundaries and may carry descriptors
 * (monitor ⇄ worker, monitor ⇄ leader, monitor ⇄ zygote). Declarations only; `base/link.native.ts`
 * and `peer.ts` move the bytes. Pure.
 *
 *   call     byte number (1–127) · uint32 id (≠ 0) · fields
 *   reply    byte number + 128   · uint32 id       · byte 0 · fields
 *   failure  byte number + 128   · uint32 id       · byte 1 · uint32 code · string text
 *   notice   byte number (1–127) · uint32 0        · fields
 */
import type { AnyFields } from './field.ts';

export interface Call<Q extends AnyFields, R extends AnyFields> {
  readonly number: number;
  readonly name: string;
  readonly request: Q;
  readonly reply: R;
}

export interface Notice<F extends AnyFields> {
  readonly number: number;
  readonly name: string;
  readonly fields: F;
}

export function call<Q extends AnyFields, R extends AnyFields>(
  number: number,
  name: string,
  request: Q,
  reply: R,
): Call<Q, R> {
  return { number, name, request, reply };
}

export function notice<F extends AnyFields>(number: number, name: string, fields: F): Notice<F> {
  return { number, name, fields };
}

/** What a link is to those who speak over it. Descriptors that arrive are owned by the receiver. */
export interface FramePort {
  /**
   * Queues when the kernel's buffer is full; the queue is bounded and overflow ends the link.
   * Takes the descriptors over and closes them once they have gone: to keep one, send a duplicate.
   */
  send(frame: Buffer, descriptors?: readonly number[]): void;
  onFrame: (frame: Buffer, descriptors: readonly number[]) => void;
  /** Called once, after the last frame; `error` is undefined when the other end went away. */
  onEnd: (error?: Error) => void;
  /** Without a call of `onEnd`. */
  close(): void;
}
