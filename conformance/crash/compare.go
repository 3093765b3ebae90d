package crash

import "testing"

// Events says how often the event of each entry was found in each asker's stream.
type Events map[string]map[uint64]int

// CompareEvents checks that each asker was told how every payment ended that it
// had heard "pending" of, and of nothing twice. It returns how many that were. An
// end that was itself undone may have been passed over.
func (b *Books) CompareEvents(t testing.TB, found Events) (told int) {
	t.Helper()
	for who, seen := range found {
		for entry, times := range seen {
			if times != 1 {
				t.Errorf("%s was told %d times of entry %d", who, times, entry)
			}
		}
	}
	for id, p := range b.Payments {
		seen := found[p.First.Asker]
		if p.Told == 0 || seen == nil {
			continue
		}
		told++
		if seen[p.Told] == 0 {
			t.Errorf("%s was not told of entry %d, the end (%s) of %s", p.First.Asker, p.Told, p.Phase, id)
		}
	}
	return told
}

// Movements are what wallets have in books of their own, by wallet and payment.
type Movements map[[2]string]Movement

// Movement is one line of a wallet's own book.
type Movement struct {
	Minor int64
	Moved bool // and not turned back
}

// Add takes a line.
func (m Movements) Add(wallet, payment string, minor int64, moved bool) {
	m[[2]string{wallet, payment}] = Movement{minor, moved}
}

// CompareMovements checks that every wallet has moved exactly what the books have
// posted, both ways. walletOf names the wallet of a scheme. It returns how many
// movements were compared.
func (b *Books) CompareMovements(t testing.TB, said Movements, walletOf func(scheme string) string) (compared int) {
	t.Helper()
	for at, line := range said {
		p := b.Payments[at[1]]
		switch {
		case p == nil:
			t.Errorf("%s has a payment that the journal does not: %s", at[0], at[1])
		case line.Moved != (p.Phase == "post"):
			t.Errorf("%s of %s at %s: the wallet moved it: %v, the journal says %s (%s)", p.First.Operation, at[1], at[0], line.Moved, p.Phase, p.Reason)
		case line.Moved && line.Minor != p.First.Minor:
			t.Errorf("%s at %s: the wallet moved %d, the journal posted %d", at[1], at[0], line.Minor, p.First.Minor)
		}
		compared++
	}
	for id, p := range b.Payments {
		if p.Phase == "post" && !said[[2]string{walletOf(p.First.Scheme), id}].Moved {
			t.Errorf("%s %s was posted, and %s has not moved it", p.First.Operation, id, p.First.Scheme)
		}
	}
	return compared
}
