// Package mnesia is the store's face with Mnesia's names: the verbs of a node's door that turn requests into
// calls of kit/store, and answers into outcomes of the conformance format.
//
// Verbs are named as the steps of the conformance format and take those steps' fields as positional arguments.
package mnesia
