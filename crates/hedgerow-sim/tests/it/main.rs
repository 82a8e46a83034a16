//! What the laws, the load, the upstream and the picture promise.

#[cfg(feature = "batch-api")]
mod batch_api;
mod congestion;
mod hostile_files;
mod law;
mod limit;
mod parted;
mod load;
mod picture;
mod replicas;
mod upstream;
mod workload;
