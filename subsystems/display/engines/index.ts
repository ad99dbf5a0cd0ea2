/** The display engines, by the protocol that a client asks for. The first is the default. Pure. */
import type { EngineTable } from '../../../src/broker/engine.ts';
import { xvnc } from './xvnc.ts';

export const displayEngines: EngineTable = { [xvnc.protocol]: xvnc };
