package sim

import (
	"os"
	"path/filepath"

	"github.com/tongma/tongma/clearing"
)

// shelf keeps what the switches of a history have left of their snapshots. Each start
// has a folder of its own, and gets a copy of what an earlier one had: whole, damaged,
// or an older one. What a switch writes once it is dead goes nowhere.
type shelf struct {
	dir  string
	kept [][]byte // as they came
}

// folderOf makes the folder of a start, and puts into it what it finds there.
func (h *history) folderOf(p *plant) string {
	if !h.plan.snapshots {
		return ""
	}
	if h.shelf.dir == "" {
		base := "/dev/shm"
		if info, err := os.Stat(base); err != nil || !info.IsDir() {
			base = ""
		}
		dir, err := os.MkdirTemp(base, "sim-")
		if err != nil {
			h.fail("snapshot", "%v", err)
			return ""
		}
		h.shelf.dir = dir
	}
	path := filepath.Join(h.shelf.dir, string(rune('a'+p.number%26))+"-"+filepath.Base(h.shelf.dir), "book")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		h.fail("snapshot", "%v", err)
	}
	if data := h.found(); data != nil {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			h.fail("snapshot", "%v", err)
		}
	}
	return path
}

// found draws which snapshot a start finds: the latest in most cases.
func (h *history) found() []byte {
	n := len(h.shelf.kept)
	if n == 0 {
		return nil
	}
	data := h.shelf.kept[n-1]
	switch h.rand.IntN(8) {
	case 0:
		h.features[SnapshotTorn]++
		return data[:h.rand.IntN(len(data))]
	case 1:
		h.features[SnapshotFlipped]++
		data = append([]byte(nil), data...)
		bit := h.rand.IntN(8 * len(data))
		data[bit/8] ^= 1 << (bit % 8)
	case 2, 3:
		if n > 1 {
			h.features[SnapshotOlder]++
			return h.shelf.kept[h.rand.IntN(n-1)]
		}
	case 4:
		return nil
	}
	return data
}

// keep takes the snapshot of a switch that goes, and its folder away.
func (h *history) keep(p *plant) {
	if p.folder == "" {
		return
	}
	if data, err := os.ReadFile(p.folder); err == nil && len(data) > 0 {
		h.shelf.kept = append(h.shelf.kept, data)
	}
	_ = os.RemoveAll(filepath.Dir(p.folder))
}

// snapshots are the options of a switch's ledger.
func (h *history) snapshots(p *plant) clearing.SnapshotOptions {
	if p.folder == "" {
		return clearing.SnapshotOptions{}
	}
	return clearing.SnapshotOptions{Path: p.folder, Every: h.plan.snapEvery, Told: func(e clearing.SnapshotEvent) {
		h.mu.Lock()
		defer h.mu.Unlock()
		switch {
		case e.Err != nil:
		case e.Read:
			h.features[SnapshotRead]++
		default:
			h.features[Snapshots]++
		}
	}}
}
