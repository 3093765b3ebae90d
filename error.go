package tongma

import (
	"errors"
	"strconv"
)

// Error is what went wrong, in one shape for the whole project: the operation,
// the reason from the catalogue, where, and the cause. Its text is safe to log:
// whoever makes one keeps codes, accounts and keys out of Detail.
type Error struct {
	Op     string // what was being done: "clearing.Reserve", "iso8583: 0200"
	Reason Reason
	Field  string // JSON pointer or field path: "/amount/minor", "DE48.01"
	Offset int    // byte or character offset within the input; meaningful if Field or Detail says so
	Detail string // one clause for people
	Err    error  // the cause, or nil
}

// Error returns "op: field at offset: detail: title".
func (e *Error) Error() string {
	s := e.Op
	if e.Field != "" {
		s += ": " + e.Field
	}
	if e.Offset > 0 {
		s += " at " + strconv.Itoa(e.Offset)
	}
	s += ": " + e.Reason.Info().Title
	if e.Detail != "" {
		s += " (" + e.Detail + ")"
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ReasonOf returns the reason that err carries: NoReason for nil, Internal for an
// error of no known reason.
func ReasonOf(err error) Reason {
	if err == nil {
		return NoReason
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return Internal
}
