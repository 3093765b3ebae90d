package recon

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/tongma/tongma"
)

// registerVersion is the shape of the file.
const registerVersion = 1

// maxRegister bounds the file, in bytes.
const maxRegister = 1 << 30

// registerFile is the Register as it stands on disk.
type registerFile struct {
	Version     int     `json:"version"`
	ClearWithin uint64  `json:"clear_within"`
	Runs        []Run   `json:"runs"`
	Breaks      []Break `json:"breaks"`
}

// Save writes the Register to a file, as a whole: a new file is written beside
// it, made durable, and put in its place. A crash leaves the old file or the new
// one, never a mixture; what may stay behind is a file with a name of its own,
// which nothing reads (TestSaveReplacesAsAWhole).
func (g *Register) Save(path string) error {
	data, err := json.MarshalIndent(registerFile{registerVersion, g.within, g.runs, g.Breaks()}, "", "  ")
	if err != nil {
		return &tongma.Error{Op: "recon.Save", Reason: tongma.Internal, Err: err}
	}
	if len(data) >= maxRegister {
		return fault(tongma.MessageTooLong, "recon.Save", "more than 1 GiB")
	}
	if err := replace(path, append(data, '\n')); err != nil {
		return &tongma.Error{Op: "recon.Save", Reason: tongma.Internal, Err: err}
	}
	return nil
}

func replace(path string, data []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close()) // durable from here
}

// Load reads a Register that Save wrote. A break whose id does not follow from
// its content was edited, and the file is refused. A file that is not there is an
// error that os.ErrNotExist matches.
func Load(path string) (*Register, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &tongma.Error{Op: "recon.Load", Reason: tongma.Internal, Err: err}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRegister+1))
	if err != nil {
		return nil, &tongma.Error{Op: "recon.Load", Reason: tongma.Internal, Err: err}
	}
	return parseRegister(data)
}

func parseRegister(data []byte) (*Register, error) {
	const op = "recon.Load"
	if len(data) > maxRegister {
		return nil, fault(tongma.MessageTooLong, op, "more than 1 GiB")
	}
	var file registerFile
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		return nil, &tongma.Error{Op: op, Reason: tongma.MessageMalformed, Offset: int(dec.InputOffset()), Err: err}
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fault(tongma.MessageMalformed, op, "something follows the register")
	}
	if file.Version != registerVersion || file.ClearWithin > 1<<31 || len(file.Runs) > maxRuns {
		return nil, fault(tongma.FieldInvalid, op, "version, clear_within or runs")
	}
	g := NewRegister(int(file.ClearWithin))
	g.runs = file.Runs
	for i := range file.Breaks {
		b := &file.Breaks[i]
		if _, twice := g.breaks[b.ID]; twice || b.ID != b.Identity() || b.AtRisk.Minor < 0 {
			return nil, fault(tongma.FieldInvalid, op, "break %d is there twice, or is not what its id says", i+1)
		}
		if res := b.Resolution; res != nil && (res.By == "" || res.Reason == "" || (res.How != ByPerson && res.How != ByPair && res.How != ByLaterRun)) {
			return nil, fault(tongma.FieldInvalid, op, "break %d has a resolution without a name or a reason", i+1)
		}
		g.breaks[b.ID] = b
	}
	return g, nil
}
