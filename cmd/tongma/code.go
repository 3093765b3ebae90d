package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tongma/tongma/codespec"
	"github.com/tongma/tongma/codespec/render"
)

func newCodeCmd(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "code",
		Short: "Read, make and scan payment codes",
		Example: `  tongma code parse 77000123456789012368
  tongma code make merchant --acquirer 2001 --merchant SHOP8821 --name "CORNER SHOP" --city SHANGHAI --currency CNY
  tongma code scan till.png`,
	}, newCodeParseCmd(a), newCodeMakeCmd(a), newCodeScanCmd(a))
}

// newCodeParseCmd reads codes as text.
func newCodeParseCmd(a *app) *cobra.Command {
	var lines, reveal bool
	cmd := &cobra.Command{
		Use:   "parse [CODE]",
		Short: "Say what a code is, object by object, and whose it is",
		Example: `  tongma code parse 0002010102111531...
  tongma code parse --json < code.txt
  tongma code parse --json --lines < codes.txt > reports.jsonl`,
		Long: `Without CODE, or with -, the code is read from standard input, where no other process can see it.
A trailing CR and LF, which scanners add, are cut off.

With --lines every line of standard input is one raw code, and every code gives one report, in order;
invalid ones too, so that the exit code is 0. With --json each report is one line.

The report has these members: format, valid, presentation, schemes (best first), error (reason, path,
offset, message, or null), findings (what is wrong and does not stop it from being read), and the
objects of an EMVCo code as mpm or cpm. Account numbers of a payer's code are masked but for the last
four digits; --reveal shows them.

Exit code 8 if the code is invalid.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if lines {
				if len(args) > 0 {
					return failf(exitUsage, "--lines reads standard input, and takes no CODE")
				}
				return a.parseLines(cmd.InOrStdin(), reveal)
			}
			raw, err := a.codeArgument(args)
			if err != nil {
				return err
			}
			if !a.showReport(raw, reveal) {
				return &exitError{code: exitChecks}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&lines, "lines", false, "read one raw code a line from standard input")
	cmd.Flags().BoolVar(&reveal, "reveal", false, "show account numbers of payers' codes whole")
	return cmd
}

// codeArgument returns the code of a command line, or reads it from standard
// input. It never waits for somebody to type.
func (a *app) codeArgument(args []string) (string, error) {
	if len(args) == 1 && args[0] != "-" {
		return args[0], nil
	}
	if len(args) == 0 && terminal(a.in) {
		return "", failf(exitUsage, "no code was given").then("tongma code parse CODE", "tongma code parse < FILE")
	}
	raw, err := io.ReadAll(io.LimitReader(a.in, codespec.MaxRaw+3)) // a code, CR, LF, and one more to see that it is too long
	if err != nil {
		return "", failf(exitFault, "standard input cannot be read")
	}
	return withoutEnd(string(raw)), nil
}

// withoutEnd cuts off one line feed and the carriage return before it.
func withoutEnd(line string) string { return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r") }

// parseLines reports on each line of r. A line that is longer than a code can be
// is reported as such, and the rest of it passed over.
func (a *app) parseLines(r io.Reader, reveal bool) error {
	in := bufio.NewReaderSize(r, codespec.MaxRaw+2)
	out := bufio.NewWriter(a.out)
	defer out.Flush()
	b := *a
	b.out = out
	for {
		line, err := in.ReadSlice('\n')
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		raw := withoutEnd(string(line))
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = in.ReadSlice('\n')
		}
		b.showReport(raw, reveal)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return failf(exitFault, "standard input cannot be read")
		}
		if in.Buffered() == 0 { // whoever types or pipes one line at a time sees each answer at once
			out.Flush()
		}
	}
}

// showReport prints the report on one code and tells whether it is valid.
func (a *app) showReport(raw string, reveal bool) bool {
	report := codespec.Report(raw, reveal)
	a.print(report, func(w io.Writer) { a.drawReport(w, raw, &report) })
	return report.Valid
}

// newCodeScanCmd reads codes from images.
func newCodeScanCmd(a *app) *cobra.Command {
	var reveal bool
	cmd := &cobra.Command{
		Use:   "scan FILE...",
		Short: "Read the codes of images and report on each",
		Example: `  tongma code scan till.png
  tongma code scan --json *.jpg`,
		Long: `FILE is a PNG, JPEG or GIF image with QR or Code 128 symbols; - is standard input. With --json every
symbol gives one line: file, code (of a merchant's code, or with --reveal), and report as of
"tongma code parse".

Exit code 8 if an image has no code, or an invalid one.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			good := true
			for _, name := range args {
				texts, err := a.scanFile(name)
				if err != nil {
					return err
				}
				for _, text := range texts {
					good = a.showScan(name, text, reveal) && good
				}
			}
			if !good {
				return &exitError{code: exitChecks}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&reveal, "reveal", false, "show payers' codes whole")
	return cmd
}

func (a *app) scanFile(name string) ([]string, error) {
	in := a.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fileError(err)
		}
		defer f.Close()
		in = f
	}
	texts, err := render.ScanImage(in)
	if err != nil {
		return nil, failf(exitChecks, "%s: %s", name, strings.TrimPrefix(err.Error(), "render: "))
	}
	return texts, nil
}

type scanned struct {
	File   string              `json:"file"`
	Code   string              `json:"code,omitempty"`
	Report codespec.ReportJSON `json:"report"`
}

func (a *app) showScan(name, text string, reveal bool) bool {
	s := scanned{File: name, Report: codespec.Report(text, reveal)}
	if reveal || s.Report.Presentation == codespec.Merchant {
		s.Code = text
	}
	a.print(s, func(w io.Writer) {
		fmt.Fprintln(w, a.paint(w).dim(clean(name)))
		if s.Code != "" {
			fmt.Fprintln(w, clean(s.Code))
		}
		a.drawReport(w, text, &s.Report)
		fmt.Fprintln(w)
	})
	return s.Report.Valid
}

// fileError says in words what is the matter with a file.
func fileError(err error) *exitError {
	code := exitFault
	switch {
	case errors.Is(err, os.ErrNotExist):
		code = exitNotFound
	case errors.Is(err, os.ErrPermission):
		return &exitError{code: exitNotAllowed, err: err, next: []string{"run it as whoever the file belongs to, or name another one"}}
	}
	if errors.Is(err, syscall.EISDIR) {
		return &exitError{code: exitUsage, err: err, next: []string{"it is a folder: name a file"}}
	}
	return &exitError{code: code, err: err}
}

// usableFolder makes a data folder, and finds out whether anything can be written there
// before a switch begins to.
func usableFolder(dir string) error {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		var probe *os.File
		if probe, err = os.CreateTemp(dir, ".probe-*"); err == nil {
			return errors.Join(probe.Close(), os.Remove(probe.Name()))
		}
	}
	e := failf(exitConfig, "nothing can be written into the data folder %s: %w", dir, err)
	if errors.Is(err, os.ErrPermission) {
		e.code = exitNotAllowed
	}
	return e.then("nothing was started: run it as whoever the folder belongs to, or give another one with --data DIR")
}

// sortedKeys returns the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
