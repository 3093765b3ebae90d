package clearing

import (
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/journal"
)

// TestAnOlderDirectoryIsRefused, also through the Ledger, which fills in the
// version in force where an entry names none.
func TestAnOlderDirectoryIsRefused(t *testing.T) {
	l := openLedger(t, journal.NewMemory(), LedgerOptions{})
	submit(t, l, Entry{Kind: KindDirectory, Directory: 2})
	if r := submit(t, l, Entry{Kind: KindDirectory, Directory: 1}); r.Write || r.Exists || r.Reason != tongma.StateConflict {
		t.Errorf("got %+v", r.Verdict)
	}
	if r := submit(t, l, Entry{Kind: KindDirectory, Directory: 2}); !r.Exists {
		t.Errorf("got %+v", r.Verdict)
	}
	if r := submit(t, l, capOf("bank-a", 100)); r.Entry.Directory != 2 {
		t.Errorf("a cap under directory %d, want 2", r.Entry.Directory)
	}
}
