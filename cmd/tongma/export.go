package main

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma"
)

// Bounds of an archive that comes from elsewhere.
const (
	exportFiles = 10_000
	exportMost  = 1 << 30 // bytes of all files, unpacked
	exportSums  = "SHA256SUMS"
)

// exported is what `tongma window export` wrote.
type exported struct {
	Window    string         `json:"window"`
	To        string         `json:"to"`
	SheetHash string         `json:"sheet_hash"`
	Verified  bool           `json:"verified"` // every file is what SHA256SUMS says, and the sheet's text what the hash is of
	Files     []exportedFile `json:"files"`
}

type exportedFile struct {
	Name   string `json:"name"`
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
	body   []byte
}

func newWindowExportCmd(a *app) *cobra.Command {
	var t target
	var to string
	var force bool
	cmd := &cobra.Command{
		Use:   "export WINDOW",
		Short: "Write all that there is of a window into files: tables, JSON, ISO 20022, proofs",
		Example: `  tongma window export win_000001 --to sheets/
  tongma window export 1 --to win_000001.zip
  tongma window export 1 --to sheets/ && (cd sheets && sha256sum -c SHA256SUMS)`,
		Long: `--to a name that ends in .zip is one archive, --to any other is a folder, made if it is not there. The sums are checked
before anything is written. What is there already is not written over without --force.

README.txt in it says what it holds: four CSV tables (matrix, nets, legs, payments), the whole as JSON, the messages to the
settlement agent as pacs.009, pacs.010 and pacs.029, the text whose SHA-256 is the sheet's hash, and the sums of all files.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.aboutWindow(cmd, &t, args[0], func(ctx context.Context, c *client, id tongma.WindowID) error {
				bar := a.progress("exporting "+id.String()+", bytes", 0)
				c.heard = bar.count
				got, err := c.ask(ctx, http.MethodGet, "/v1/windows/"+id.String()+"?format=zip", "", nil)
				bar.end()
				if err != nil {
					return err
				}
				e := exported{Window: id.String(), To: to}
				if e.Files, err = unpack(got.body); err != nil {
					return err
				}
				if err := e.verify(); err != nil {
					return err
				}
				if err := e.write(got.body, force); err != nil {
					return err
				}
				a.print(e, e.draw)
				return nil
			})
		},
	}
	t.flags(cmd)
	a.completeWindows(cmd, &t)
	patience(cmd, 5*time.Minute)
	cmd.Flags().StringVar(&to, "to", "", "folder, or file that ends in .zip")
	cmd.Flags().BoolVar(&force, "force", false, "write over what is there")
	require(cmd, "to")
	_ = cmd.MarkFlagDirname("to")
	return cmd
}

// unpack reads an archive of flat names. It comes over the wire, so that nothing in it
// is trusted: not its names, nor its sizes.
func unpack(archive []byte) ([]exportedFile, error) {
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil || len(z.File) > exportFiles {
		return nil, failf(exitFault, "the answer is no archive: nothing was written")
	}
	var files []exportedFile
	left := int64(exportMost)
	seen := map[string]bool{}
	for _, f := range z.File {
		if f.Name == "" || f.Name != clean(f.Name) || strings.ContainsAny(f.Name, `/\:`) || strings.HasPrefix(f.Name, ".") || seen[f.Name] {
			return nil, failf(exitFault, "the archive has a file %q, which is no name for one: nothing was written", clean(f.Name))
		}
		seen[f.Name] = true
		body, err := readZipped(f, left)
		if left -= int64(len(body)); err != nil || left <= 0 {
			return nil, failf(exitFault, "%s of the archive cannot be read, or is too long: nothing was written", f.Name)
		}
		sum := sha256.Sum256(body)
		files = append(files, exportedFile{f.Name, len(body), hex.EncodeToString(sum[:]), body})
	}
	return files, nil
}

func readZipped(f *zip.File, most int64) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, most))
}

// verify holds the files against their sums, and the text of the sheet against the
// hash that the sheet's own file gives. An open window has no text: its figures change.
func (e *exported) verify() error {
	sums := map[string]string{}
	for _, f := range e.Files {
		if f.Name == exportSums {
			for line := range strings.Lines(string(f.body)) {
				if sum, name, ok := strings.Cut(strings.TrimSpace(line), "  "); ok {
					sums[name] = sum
				}
			}
		}
	}
	for _, f := range e.Files {
		if f.Name != exportSums && sums[f.Name] != f.SHA256 {
			return failf(exitBooks, "%s is not what %s says it is: nothing was written", f.Name, exportSums).then("export it again; if that fails too, tongma audit")
		}
		if strings.HasSuffix(f.Name, "-sheet.txt") {
			e.SheetHash = f.SHA256
		}
	}
	if hash := sheetHashIn(e.Files); e.SheetHash != "" && hash != e.SheetHash {
		return failf(exitBooks, "the sheet's text has the hash %s, and the sheet says %s: nothing was written", e.SheetHash, hash).then("tongma audit")
	}
	e.Verified = true
	return nil
}

// sheetHashIn reads the hash that the sheet itself gives, in its JSON.
func sheetHashIn(files []exportedFile) string {
	for _, f := range files {
		var sheet struct {
			Hash string `json:"sheet_hash"`
		}
		if filepath.Ext(f.Name) == ".json" && json.Unmarshal(f.body, &sheet) == nil {
			return sheet.Hash
		}
	}
	return ""
}

// write puts the files where they were asked for. Each is complete under its name, or
// not there.
func (e *exported) write(archive []byte, force bool) error {
	files := e.Files
	dir := e.To
	if strings.EqualFold(filepath.Ext(e.To), ".zip") {
		dir, files = filepath.Dir(e.To), []exportedFile{{Name: filepath.Base(e.To), body: archive}}
	} else if err := os.MkdirAll(dir, 0o750); err != nil {
		return fileError(err)
	}
	if !force {
		for _, f := range files {
			path := filepath.Join(dir, f.Name)
			if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
				return failf(exitConflict, "%s is there already: nothing was written", path).then("write over it with --force, or name another place with --to")
			}
		}
	}
	for _, f := range files {
		if err := writeWhole(filepath.Join(dir, f.Name), f.body); err != nil {
			return fileError(err)
		}
	}
	return nil
}

func writeWhole(path string, body []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".export-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone under that name if all went well
	_, err = f.Write(body)
	if err = errors.Join(err, f.Chmod(0o640), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func (e *exported) draw(w io.Writer) {
	var rows [][]string
	for _, f := range e.Files {
		rows = append(rows, []string{f.Name, fmt.Sprint(f.Bytes), f.SHA256[:16] + "…"})
	}
	showTable(w, []column{left("file"), right("bytes"), left("sha256")}, rows)
	fmt.Fprintf(w, "\n%s: %d files in %s, sums checked", e.Window, len(e.Files), e.To)
	if e.SheetHash != "" {
		fmt.Fprintf(w, "; sheet %s", e.SheetHash)
	}
	fmt.Fprintln(w)
}
