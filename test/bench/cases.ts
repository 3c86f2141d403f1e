import type { BenchCase } from './bench-case.ts';
import { backends } from './cases/backends.ts';
import { dense } from './cases/dense.ts';
import { generation } from './cases/generate.ts';
import { growth } from './cases/growth.ts';
import { headline } from './cases/headline.ts';
import { limits } from './cases/limits.ts';
import { links } from './cases/links.ts';
import { lookup } from './cases/lookup.ts';
import { memory } from './cases/memory.ts';
import { outgrown } from './cases/outgrown.ts';
import { phases } from './cases/phases.ts';
import { pool } from './cases/pool.ts';
import { select } from './cases/select.ts';
import { start } from './cases/start.ts';
import { tensorflow } from './cases/tensorflow.ts';

/** In the order in which `npm run bench` runs them. */
export const CASES: readonly BenchCase[] = [
  limits,
  select,
  pool,
  lookup,
  phases,
  dense,
  generation,
  headline,
  growth,
  start,
  memory,
  outgrown,
  links,
  backends,
  tensorflow,
];
