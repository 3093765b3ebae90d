// Package schemes says who takes part in the switch and under what rules: the
// participants, the payment schemes that they run, and which schemes a scanned
// code belongs to.
//
// All of it stands in one YAML file, the directory. A directory has a number and
// never changes: a new file is a new version, and old ones are kept, so that the
// answer to "why did this code go there?" can be worked out again for any past
// payment. Parse and Resolve are pure. Registry keeps the versions on disk.
package schemes
