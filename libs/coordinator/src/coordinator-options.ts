import type { Checkpoint } from '@ultramem/checkpoint';
import type { Clock, LoopDelay } from '@ultramem/environment';
import type { ActivationDType, Kernels } from '@ultramem/kernels';
import type { LeaseTerms } from '@ultramem/membership';
import type { KeysMode, Partition } from '@ultramem/planner';
import type { Tokenizer } from '@ultramem/tokenizer';
import type { Transport } from '@ultramem/transport';
import type { ClusterEvent } from './cluster.ts';
import type { DeviceEvent } from './lasting-kernels.ts';
import type { SlowLinks } from './link-speed.ts';

export interface CoordinatorOptions {
  transport: Transport;
  host: string;
  port: number;
  clock: Clock;
  kernels: Kernels;
  /** What `kernels` round activations to before weights stored in bf16 multiply them, for `status` to say; F32 when left out. */
  activations?: ActivationDType;
  /** Called when a device is lost (DEVICE_LOST), for kernels on another; without it every later request fails with that error. */
  reopenKernels?: () => Promise<Kernels>;
  checkpoint: Checkpoint;
  /** Null: only the memory is served, to whoever holds the `Coordinator` (layer vectors have no transformer). */
  tokenizer: Tokenizer | null;
  workersWanted: number;
  partition: Partition | 'auto';
  keys: KeysMode;
  /** `SLOW_LINKS` when left out: every number as it is, on every link. */
  slowLinks?: SlowLinks;
  token: string | null;
  clusterId: string;
  software: string;
  /** For one lookup, all phases together. */
  lookupDeadlineMs: number;
  lease?: LeaseTerms;
  frameBytesMax?: number;
  processBytes: () => number;
  /** How late the event loop of this process was; where nobody measures it, nothing is reported. */
  loopDelay?: () => LoopDelay | null;
  onEvent: (event: CoordinatorEvent) => void;
  onDefect: (error: unknown) => void;
}

export type CoordinatorEvent =
  | ClusterEvent
  | DeviceEvent
  | { kind: 'loading'; loaded: number; total: number };
