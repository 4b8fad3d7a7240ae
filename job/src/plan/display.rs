//! The plan as a page of text.

use std::fmt;

use super::{
    LinkBytes, Plan,
    table::{Table, count, duration, size, wrap},
};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Plan of {}\n", self.name)?;
        self.basis(f)?;
        self.costs(f)?;
        self.learned(f)?;
        for warning in &self.warnings {
            writeln!(f, "\nWARNING  {}", wrap(warning, 88, "         "))?;
        }
        Ok(())
    }
}

impl Plan {
    fn basis(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let assumed = &self.assumptions;
        writeln!(f, "Assumed")?;
        let mut table = Table::new(&["party", "customers", "design columns"]);
        for (party, size) in &assumed.parties {
            table.row([
                party.to_string(),
                count(size.rows),
                count(size.design_columns),
            ]);
        }
        write!(f, "{table}")?;
        if self.max_passes == 0 {
            return writeln!(
                f,
                "  {} common; {} Mbit/s, {} ms\n",
                count(assumed.matched),
                assumed.mbit_per_s,
                assumed.rtt_ms,
            );
        }
        if self.batches > 0 && self.solver.is_none() {
            return writeln!(
                f,
                "  {} common: {} to train, {} to test; {} Mbit/s, {} ms\n\nChosen\n  {} epochs of {} batches at \
                 most\n",
                count(assumed.matched),
                count(self.train_rows),
                count(self.test_rows),
                assumed.mbit_per_s,
                assumed.rtt_ms,
                self.max_passes,
                count(self.batches),
            );
        }
        if self.series.is_empty() {
            return writeln!(
                f,
                "  all together: {} to train, {} to test; {} Mbit/s, {} ms\n\nChosen\n  {} points of the \
                 fit expected, {} at most\n",
                count(self.train_rows),
                count(self.test_rows),
                assumed.mbit_per_s,
                assumed.rtt_ms,
                self.passes,
                self.max_passes,
            );
        }
        writeln!(
            f,
            "  {} common: {} to train, {} to test; {} Mbit/s, {} ms\n",
            count(assumed.matched),
            count(self.train_rows),
            count(self.test_rows),
            assumed.mbit_per_s,
            assumed.rtt_ms,
        )?;
        writeln!(f, "Chosen")?;
        let ranges: Vec<_> = self
            .series
            .iter()
            .map(|series| format!("on ±{} with {} terms", series.range, series.terms))
            .collect();
        writeln!(f, "  sigmoid series {}", ranges.join(", then "))?;
        if let Some(chosen) = self.solver {
            let text = format!("{}, {}", chosen.steps, self.solver_why);
            writeln!(f, "  {}", wrap(&text, 96, "  "))?;
        }
        if self.hessian_rows > 0 {
            let all = match self.hessian_rows < self.train_rows && self.series.len() > 1 {
                true => ", on all of them should a further series be needed",
                false => "",
            };
            writeln!(f, "  Hessian on {} rows{all}", count(self.hessian_rows))?;
        }
        if self.batches > 0 {
            return writeln!(
                f,
                "  {} passes of {} batches, in each range tried; they end near the optimum, not at it\n",
                self.passes,
                count(self.batches),
            );
        }
        writeln!(
            f,
            "  {} passes expected, {} at most\n",
            self.passes, self.max_passes,
        )
    }

    fn costs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let helper = self.memory.last().map(|need| &need.node);
        let split = |links: &[LinkBytes]| {
            let (with_helper, parties): (Vec<_>, Vec<_>) = links
                .iter()
                .partition(|link| Some(&link.from) == helper || Some(&link.to) == helper);
            [parties, with_helper].map(|links| size(links.iter().map(|link| link.bytes).sum()))
        };
        let mut table = Table::new(&[
            "phase",
            "step",
            "times",
            "rounds",
            "party to party",
            "helper",
            "time",
        ]);
        for step in self.steps.iter().filter(|step| step.times > 0) {
            let [parties, with_helper] = split(&step.links);
            let (phase, name) = (step.phase.to_string(), step.step.clone());
            let (times, rounds) = (count(step.times), count(step.rounds));
            table.row([
                phase,
                name,
                times,
                rounds,
                parties,
                with_helper,
                duration(step.seconds),
            ]);
        }
        let [parties, with_helper] = split(&self.links);
        let (all, time) = ("all".to_owned(), duration(self.seconds));
        table.row([
            all,
            String::new(),
            "-".into(),
            count(self.rounds),
            parties,
            with_helper,
            time,
        ]);
        writeln!(f, "Cost\n{table}")?;
        let mut table = Table::new(&["from", "to", "bytes"]);
        for link in &self.links {
            table.row([link.from.to_string(), link.to.to_string(), size(link.bytes)]);
        }
        let each = match self.max_passes {
            0 => String::new(),
            _ => format!(
                ", {:.0} bytes per training row and pass",
                self.bytes_per_row_pass
            ),
        };
        writeln!(
            f,
            "{table}  {} in all{each}; times are estimates\n",
            size(self.bytes)
        )?;
        self.range(f)?;
        let mut table = Table::new(&["node", "role", "memory"]);
        for need in &self.memory {
            table.row([need.node.to_string(), need.role.clone(), size(need.bytes)]);
        }
        writeln!(f, "Memory\n{table}")
    }

    /// What it costs where columns go or come.
    fn range(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(extents) = self.extents else {
            return Ok(());
        };
        let mut table = Table::new(&["", "by inflation", "by steps", "rounds", "bytes", "time"]);
        for (name, of) in [("least", extents.least), ("most", extents.most)] {
            table.row([
                name.to_owned(),
                count(of.inflated),
                count(of.steps),
                count(of.rounds),
                size(of.bytes),
                duration(of.seconds),
            ]);
        }
        writeln!(
            f,
            "Range: the costs above are those of the least, where no column goes or comes one by one\n{table}"
        )
    }

    fn learned(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Who learns what")?;
        for role in &self.learns {
            writeln!(f, "\n  {}, {}", role.who, role.role)?;
            for item in &role.learns {
                let times = if item.at_most == 1 {
                    "once".to_owned()
                } else {
                    format!("up to {} times", item.at_most)
                };
                let sentence = format!("{} ({times})", item.what);
                writeln!(
                    f,
                    "    {:<29}{}",
                    item.id.to_string(),
                    wrap(&sentence, 66, &" ".repeat(33))
                )?;
            }
            writeln!(
                f,
                "    {:<29}{}",
                "never",
                wrap(&role.never, 66, &" ".repeat(33))
            )?;
        }
        Ok(())
    }
}
