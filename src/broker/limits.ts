/** How many desktops there may be, and how large. Runs in: monitor, worker. */
import type { Geometry } from './engine.ts';

export interface BrokerLimits {
  readonly desktopsPerUser: number;
  readonly desktops: number;
  readonly viewersPerDesktop: number;
}
export const brokerLimits: BrokerLimits = {
  /** An Xvnc with a plain session needs 60 to 100 MB. */
  desktopsPerUser: 16,
  /** Of all users; each has a display number and a leader. */
  desktops: 512,
  /** Each gets every change of the picture once more. */
  viewersPerDesktop: 32,
};

export const defaultGeometry: Geometry = { width: 1280, height: 800, depth: 24 };
/** What the X protocol and RFB can carry is more; memory is what ends it. */
export const maxSide = 16_384;
export const minSide = 16;
