//! Test equipment: private clusters, a scripted Satellite client, faults.
