package clearing

import (
	"fmt"
	"testing"

	"github.com/tongma/tongma"
)

// TestWhatWasLookedUpLatelyIsWhatThereIs: among names that share their places, each is
// found by its own number, and each account by its own participant and currency; a name
// that nobody has used has none, and looking for it changes nothing.
func TestWhatWasLookedUpLatelyIsWhatThereIs(t *testing.T) {
	b := NewBook()
	const names = 5 * lateNames
	name := func(i int) string { return fmt.Sprintf("bank-%03d-of-many", i) }
	for round := range 3 {
		for i := range names {
			if n, ok := b.known(name(i)); ok != (round > 0) || (ok && b.names[n] != name(i)) {
				t.Fatalf("round %d: %s is known as %d, %t", round, name(i), n, ok)
			}
			n := b.number(name(i))
			for _, c := range []tongma.Currency{tongma.CNY, tongma.Currency(uint16(tongma.CNY) + lateNames), tongma.USD} {
				if a := b.accountAt(accountKey{n, c}); (a != nil) != (round > 0) || a != b.accounts[accountKey{n, c}] {
					t.Fatalf("round %d: account of %s in %s is %p, want %p", round, name(i), c.Code(), a, b.accounts[accountKey{n, c}])
				}
				b.account(n, c).position++
			}
		}
		if len(b.names) != names+1 || len(b.accounts) != 3*names {
			t.Fatalf("round %d: %d names, %d accounts", round, len(b.names), len(b.accounts))
		}
	}
	for k, a := range b.accounts {
		if a.position != 3 {
			t.Fatalf("account %v was found %d times of 3", k, a.position)
		}
	}
	if n, ok := b.known(""); n != noName || !ok {
		t.Errorf("no name is %d, %t", n, ok)
	}
}
