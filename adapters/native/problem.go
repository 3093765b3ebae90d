package native

import "github.com/tongma/tongma"

// Problem is the root package's error on the wire.
type Problem = tongma.Problem

// ProblemOf describes err.
func ProblemOf(err error) Problem { return tongma.ProblemOf(err) }

// ParseProblem reads a Problem from the wire.
func ParseProblem(data []byte) (Problem, error) { return tongma.ParseProblem(data) }
