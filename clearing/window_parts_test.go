package clearing

import (
	"slices"

	"github.com/tongma/tongma"
)

// readInParts holds a window read in parts, and from behind each of its entries,
// against the whole of it.
func (m *machine) readInParts(id tongma.WindowID) {
	type seen struct {
		entry   uint64
		payment tongma.PaymentID
		kind    Kind
		ref     string
	}
	of := func(it WindowItem) seen { return seen{it.Entry, it.Payment, it.Kind, it.Ref} }
	var whole, parts []seen
	m.book.WindowPayments(id, func(it WindowItem) bool { whole = append(whole, of(it)); return true })
	var at WindowCursor
	for more := true; more; {
		more = false
		m.book.WindowPaymentsFrom(id, &at, func(it WindowItem) bool {
			parts, more = append(parts, of(it)), true
			return false
		})
	}
	if !slices.Equal(whole, parts) {
		m.rt.Fatalf("%s: in parts %v, as a whole %v", id, parts, whole)
	}
	for i := range whole {
		if i > 0 && whole[i].entry < whole[i-1].entry {
			m.rt.Fatalf("%s: out of order at %d", id, i)
		}
		var behind []seen
		at := m.book.WindowCursorBehind(id, whole[i].entry)
		m.book.WindowPaymentsFrom(id, &at, func(it WindowItem) bool { behind = append(behind, of(it)); return true })
		want := slices.DeleteFunc(slices.Clone(whole), func(s seen) bool { return s.entry <= whole[i].entry })
		if !slices.Equal(behind, want) {
			m.rt.Fatalf("%s behind %d: %v, want %v", id, whole[i].entry, behind, want)
		}
	}
}
