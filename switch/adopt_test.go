package switching

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/schemes"
)

// TestADirectoryIsKeptBeforeAnyEntryGoesByIt: a successor that reads the entry finds
// the version. One that cannot be kept does not come into force.
func TestADirectoryIsKeptBeforeAnyEntryGoesByIt(t *testing.T) {
	var mu sync.Mutex // guards kept and refuse
	var kept []uint64
	refuse := errors.New("no room")
	b := over(t, journal.NewMemory(), func(o *Options) {
		o.Keep = func(_ context.Context, d *schemes.Directory) error {
			mu.Lock()
			defer mu.Unlock()
			if d.Version() == 2 {
				return refuse
			}
			kept = append(kept, d.Version())
			return nil
		}
		o.OnCommit = func(_ uint64, es []clearing.Entry) {
			mu.Lock()
			defer mu.Unlock()
			for _, e := range es {
				if e.Kind == clearing.KindDirectory && !slices.Contains(kept, e.Directory) {
					t.Errorf("version %d is in force and not kept", e.Directory)
				}
			}
		}
	})
	if err := b.engine.Adopt(t.Context(), market(t, 2, fast)); !errors.Is(err, refuse) {
		t.Errorf("adopted: %v", err)
	}
	if err := b.engine.Adopt(t.Context(), market(t, 3, fast)); err != nil {
		t.Error(err)
	}
	b.stands("wallet", 0, 0) // behind which all is seen
	if !slices.Equal(kept, []uint64{1, 3}) {
		t.Errorf("kept %v", kept)
	}
}

// TestVersionsComeIntoForceOneAfterTheOther: of several that are adopted at once no
// rule comes behind the name of another version.
func TestVersionsComeIntoForceOneAfterTheOther(t *testing.T) {
	var inForce uint64
	b := over(t, journal.NewMemory(), func(o *Options) {
		o.OnCommit = func(_ uint64, es []clearing.Entry) {
			for _, e := range es {
				switch {
				case e.Kind == clearing.KindDirectory:
					inForce = e.Directory
				case e.Kind == clearing.KindCap && inForce > 1 && e.Debtor == "wallet" && e.Amount.Minor != int64(inForce)*100:
					t.Errorf("version %d sets a cap of %d", inForce, e.Amount.Minor)
				}
			}
		}
	})
	var wg sync.WaitGroup
	for version := uint64(2); version < 20; version++ {
		d := market(t, version, strings.Replace(fast, `name: W, country: CN, roles: [acquirer, issuer], caps: {CNY: "100.00"}`,
			fmt.Sprintf(`name: W, country: CN, roles: [acquirer, issuer], caps: {CNY: "%d.00"}`, version), 1))
		wg.Go(func() {
			if err := b.engine.Adopt(t.Context(), d); err != nil && tongma.ReasonOf(err) != tongma.StateConflict {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	b.stands("wallet", 0, 0) // behind which all is seen
	if inForce < 2 {
		t.Errorf("version %d is in force", inForce)
	}
}
