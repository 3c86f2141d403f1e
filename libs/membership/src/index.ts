export { LEASE_TERMS, Leases, type LeaseTerms } from './lease.ts';
export {
  applyEvent,
  type ClusterView,
  EMPTY_VIEW,
  type Member,
  type MemberState,
  orphanedShards,
  type ViewEvent,
} from './view.ts';
