"""The faults that `scripts/mutants` plants, one at a time, in a copy of the tree: each must make its related tests fail.

A fault is a slip that somebody could make. Most are of wiring: a value that is right where it is computed, and another one
in the column, on the page or behind the option that bears its name.
"""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """In `file` the text `old`, which occurs there exactly once, becomes `new`; then one of `tests` must fail.

    `tests` are files or node ids of pytest, parted by spaces.
    """

    name: str
    file: str
    old: str
    new: str
    tests: str


FAULTS = (
    # numbers on their way into the store and out of it
    Fault(
        "params and FLOPs exchanged on the way into the store",
        "nasjac/searching/scored.py",
        "round(fact.skip_count) if whole else None}",
        'round(fact.skip_count) if whole else None, "params": fact.flops, "flops": fact.params}',
        "tests/test_joints_store.py::test_facts_are_in_the_columns_of_their_names",
    ),
    Fault(
        "effective and nonlinear effective depth exchanged on the way into the store",
        "nasjac/searching/scored.py",
        "round(fact.skip_count) if whole else None}",
        'round(fact.skip_count) if whole else None, "effective_depth": fact.nonlinear_effective_depth,'
        ' "nonlinear_effective_depth": fact.effective_depth}',
        "tests/test_joints_store.py::test_facts_are_in_the_columns_of_their_names",
    ),
    Fault(
        "an ensemble's architecture row is of its fixed skips",
        "nasjac/searching/scored.py",
        "whole = not spec.is_ensemble",
        "whole = True",
        "tests/test_joints_store.py::test_an_ensemble_has_a_density_and_no_count_of_skips",
    ),
    Fault(
        "a term's value and standard error exchanged in the store",
        "nasjac/store/columns.py",
        "content[term] = column(term, estimate.value)\n"
        '        content[f"{term}_se"] = column(term, estimate.standard_error)',
        "content[term] = column(term, estimate.standard_error)\n"
        '        content[f"{term}_se"] = column(term, estimate.value)',
        "tests/test_joints_store.py::test_each_term_and_its_error_are_in_the_columns_of_their_names",
    ),
    Fault(
        "mean_log and log_mean exchanged in stored profiles",
        "nasjac/store/columns.py",
        "_numbers([layer.mean_log for layer in profile]),",
        "_numbers([layer.log_mean for layer in profile]),",
        "tests/test_store.py::test_rows_come_back_as_they_were",
    ),
    Fault(
        "measurements of another score are taken for this one's",
        "nasjac/store/store.py",
        'f"score_id = :score_id AND {_AMONG',
        'f":score_id = :score_id AND {_AMONG',
        "tests/test_joints_store.py::test_measurements_are_those_of_the_score_that_is_asked_for",
    ),
    Fault(
        "the same training again does not replace the old row",
        "nasjac/store/store.py",
        '[of_row(row) for row in named], how="INSERT OR REPLACE"',
        '[of_row(row) for row in named], how="INSERT OR IGNORE"',
        "tests/test_store.py::test_validations",
    ),
    Fault(
        "the leaderboard shows the worst learning rate",
        "nasjac/store/schema.py",
        "avg(o.accuracy) FILTER (WHERE o.status = 'ok') DESC NULLS LAST",
        "avg(o.accuracy) FILTER (WHERE o.status = 'ok') ASC NULLS LAST",
        "tests/test_joints_store.py::test_the_leaderboard_shows_the_most_accurate_rate_with_its_loss",
    ),
    Fault(
        "the leaderboard averages the training loss",
        "nasjac/store/schema.py",
        "(SELECT avg(r.loss) FROM",
        "(SELECT avg(r.train_loss) FROM",
        "tests/test_joints_store.py::test_the_leaderboard_shows_the_most_accurate_rate_with_its_loss",
    ),
    Fault(
        "validation rows hold the training loss",
        "nasjac/searching/train.py",
        "**{name: getattr(run, name) for name in figures})",
        '**{name: getattr(run, {"loss": "train_loss"}.get(name, name)) for name in figures})',
        "tests/test_joints_store.py::test_the_figures_of_a_run_are_in_the_columns_and_in_the_checkpoint",
    ),
    Fault(
        "a checkpoint's inputs and outputs exchanged",
        "nasjac/searching/train.py",
        'sizes = {"inputs": task.data.inputs, "outputs": task.data.outputs}',
        'sizes = {"inputs": task.data.outputs, "outputs": task.data.inputs}',
        "tests/test_joints_store.py::test_the_figures_of_a_run_are_in_the_columns_and_in_the_checkpoint",
    ),
    # estimators
    Fault(
        "the probes' noise stays in the spread",
        "nasjac/sampling/estimators.py",
        "variance = _whole_variance(means, draws) - average[..., 2]",
        "variance = _whole_variance(means, draws)",
        "tests/test_estimators.py::test_many_draws_are_right",
    ),
    Fault(
        "one dead draw makes an architecture diverged",
        "nasjac/scores/sampled_terms.py",
        "lost > DEAD_DRAWS",
        "lost > 0",
        "tests/test_dead_draws.py::test_a_rare_dead_draw_leaves_the_terms_of_the_others",
    ),
    Fault(
        "as many images as asked for, however narrow",
        "nasjac/kinds/common_probe.py",
        "return min(count, max(2, units // 2))",
        "return count",
        "tests/test_dead_draws.py::test_there_are_never_more_images_than_units",
    ),
    # search and resume
    Fault(
        "a resume forgets failed trials",
        "nasjac/searching/loop.py",
        "for row in rows if row.is_lasting",
        'for row in rows if row.state == "complete"',
        "tests/test_joints_store.py::test_what_failed_before_a_resume_is_known_after_it",
    ),
    Fault(
        "a resume forgets the sampler's last notes",
        "nasjac/searching/loop.py",
        "before=rows[-1].batch + 1 if rows else 0)",
        "before=rows[-1].batch if rows else 0)",
        "tests/test_joints_store.py::test_a_resumed_sampler_has_its_notes",
    ),
    Fault(
        "a duplicate keeps the ensemble, not its pattern",
        "nasjac/searching/loop.py",
        "shown.score_id or self.score_id, shown.kept_key)",
        "shown.score_id or self.score_id, shown.architecture_key)",
        "tests/test_joints_store.py::test_a_duplicate_of_an_ensemble_keeps_the_same_pattern",
    ),
    Fault(
        "the knee of a study without logarithms",
        "nasjac/searching/objectives.py",
        "[OBJECTIVES[name].is_ratio for name in objectives]",
        "[False for name in objectives]",
        "tests/test_joints_store.py::test_the_recommended_architecture_is_the_knee_in_logarithms_of_ratios",
    ),
    Fault(
        "the objective params is of FLOPs",
        "nasjac/searching/objectives.py",
        "lambda terms, facts: facts.params, True",
        "lambda terms, facts: facts.flops, True",
        "tests/test_joints_store.py::test_each_objective_is_the_term_or_fact_of_its_name",
    ),
    Fault(
        "the bound on FLOPs is one on parameters",
        "nasjac/searching/objectives.py",
        'found["max_flops"] = facts.flops / self.max_flops - 1',
        'found["max_flops"] = facts.params / self.max_flops - 1',
        "tests/test_joints_store.py::test_each_constraint_is_on_the_fact_of_its_name",
    ),
    Fault(
        "an ensemble keeps its dearest pattern",
        "nasjac/architecture/ensemble.py",
        "kept_key=min(costs",
        "kept_key=max(costs",
        "tests/test_scores.py::test_an_ensemble_is_measured_with_its_patterns",
    ),
    Fault(
        "an ensemble keeps its pattern of least merit",
        "nasjac/scores/merit.py",
        "kept = max(merits",
        "kept = min(merits",
        "tests/test_merit.py::test_an_ensemble_has_the_mean_of_its_patterns_and_keeps_the_one_of_most_merit",
    ),
    Fault(
        "the errors of expressivity and penalty exchanged in merit's",
        "nasjac/scores/merit.py",
        "share * (ranked.standard_error or 0.0), (1 - share) * (penalty.standard_error or 0.0)",
        "(1 - share) * (ranked.standard_error or 0.0), share * (penalty.standard_error or 0.0)",
        "tests/test_joints_scores.py::test_the_error_of_merit_is_that_of_its_parts_times_their_slopes",
    ),
    Fault(
        "racing takes the dearest rival",
        "nasjac/searching/racing.py",
        "costs[better].argmin()",
        "costs[better].argmax()",
        "tests/test_joints_store.py::test_the_rival_is_the_cheapest_of_those_as_good_in_everything_else",
    ),
    Fault(
        "an unpaired racing difference",
        "nasjac/sampling/estimators.py",
        "float(np.sqrt(jackknife_variance(difference)))",
        "float(np.sqrt(jackknife_variance(self.left_out[:, index]) + jackknife_variance(other.left_out[:, index])))",
        "tests/test_joints_scores.py::test_a_racing_difference_is_paired",
    ),
    Fault(
        "an overflow names the last layer whose activations are not finite",
        "nasjac/scores/sampled_terms.py",
        "np.flatnonzero(bad.any(axis=(0, 1)))[0]",
        "np.flatnonzero(bad.any(axis=(0, 1)))[-1]",
        "tests/test_joints_scores.py::test_an_overflow_is_named_by_the_layer_where_it_begins",
    ),
    Fault(
        "an overflow of the Jacobian names the layer farthest from where it begins",
        "nasjac/scores/sampled_terms.py",
        "layers[0] if name == 'forward' else layers[-1]",
        "layers[-1] if name == 'forward' else layers[0]",
        "tests/test_joints_scores.py::test_an_overflow_is_named_by_the_layer_where_it_begins",
    ),
    Fault(
        "E log J without the half",
        "nasjac/mathematics/logarithms.py",
        "return log_mean - log_relative_square / 2",
        "return log_mean - log_relative_square",
        "tests/test_joints_scores.py::test_e_log_of_the_closed_form_is_that_of_the_log_normal_law",
    ),
    Fault(
        "backward norms under the name of forward ones in theory",
        "nasjac/models/theory.py",
        '"forward_log_norm": forward.tolist(),',
        '"forward_log_norm": backward.tolist(),',
        "tests/test_theory.py::test_theory_as_json",
    ),
    # validation and training
    Fault(
        "of one objective the worst are picked",
        "nasjac/searching/validate.py",
        'reverse=ways == ["maximize"]',
        'reverse=ways == ["minimize"]',
        "tests/test_validate.py::test_of_one_objective_the_best_are_picked",
    ),
    Fault(
        "what is matched has any number of parameters",
        "nasjac/searching/validate.py",
        "draw(2 * options.seed + 1, options.matched, params)",
        "draw(2 * options.seed + 1, options.matched, None)",
        "tests/test_validate.py::test_picks_and_rows",
    ),
    Fault(
        "a draw for a match ignores the parameters asked for",
        "nasjac/searching/draw.py",
        "job.budget if params is None else replace(job.budget, params=params)",
        "job.budget",
        "tests/test_joints_store.py::test_what_is_drawn_to_match_has_as_many_parameters",
    ),
    Fault(
        "runs in the order of learning rates are told in that of seeds",
        "nasjac/trainers/brief.py",
        "list(itertools.product(options.seeds, options.learning_rates))",
        "[(seed, rate) for rate in options.learning_rates for seed in options.seeds]",
        "tests/test_trainers.py::test_batched_training_is_the_plain_loop",
    ),
    Fault(
        "a run's losses on training and validation samples exchanged",
        "nasjac/trainers/replicates.py",
        "figures = (accuracy, loss, math.fsum(last) / len(last))",
        "figures = (accuracy, math.fsum(last) / len(last), loss)",
        "tests/test_trainers.py::test_batched_training_is_the_plain_loop",
    ),
    Fault(
        "the best run is that of the largest loss among equals",
        "nasjac/trainers/run.py",
        "(run.accuracy, -(run.loss or 0.0))",
        "(run.accuracy, run.loss or 0.0)",
        "tests/test_joints_store.py::test_of_equally_accurate_runs_the_one_of_least_loss_is_best",
    ),
    # growing and pruning
    Fault(
        "measured_energy and output_damage exchanged in pruning a network of ours",
        "nasjac/surgery/prune.py",
        "return whole.energy[there]\n"
        '    if options.criterion == "output_damage":\n'
        "        return np.array([float(whole.branch[n].ratio.mean()) for n in there])",
        "return np.array([float(whole.branch[n].ratio.mean()) for n in there])\n"
        '    if options.criterion == "output_damage":\n'
        "        return whole.energy[there]",
        "tests/test_joints_surgery.py::test_each_criterion_prunes_by_its_own_value",
    ),
    Fault(
        "measured_energy and output_damage exchanged in pruning a model of others",
        "nasjac/surgery/prune_model.py",
        "return np.array([one.energy for one in norms])\n"
        '    if options.criterion == "output_damage":\n'
        "        return np.array([float(one.ratio.mean()) for one in norms])",
        "return np.array([float(one.ratio.mean()) for one in norms])\n"
        '    if options.criterion == "output_damage":\n'
        "        return np.array([one.energy for one in norms])",
        "tests/test_joints_surgery.py::test_each_criterion_prunes_a_model_by_its_own_value",
    ),
    Fault(
        "accuracies before and after pruning exchanged",
        "nasjac/surgery/prune.py",
        'worths = {"before": worth(old.module, old.data), "after": worth(module, old.data)}',
        'worths = {"before": worth(module, old.data), "after": worth(old.module, old.data)}',
        "tests/test_joints_surgery.py::test_what_is_told_of_before_and_after_pruning_is_of_before_and_after",
    ),
    Fault(
        "predicted damage under the name of the measured one",
        "nasjac/surgery/paths.py",
        '"measured_damage": float(lost.mean()),',
        '"measured_damage": predicted,',
        "tests/test_joints_surgery.py::test_damage_is_measured_and_predicted_by_different_means",
    ),
    Fault(
        "the error of the Frobenius norm without its half",
        "nasjac/surgery/branches/norms.py",
        "self.squared_error / (2 * self.frobenius)",
        "self.squared_error / self.frobenius",
        "tests/test_joints_scores.py::test_the_error_of_a_frobenius_norm_is_half_that_of_its_square_over_the_norm",
    ),
    Fault(
        "the neighbour of a grown block shifted by one",
        "nasjac/surgery/growth.py",
        "abs(number + 0.5 - place)",
        "abs(number - 0.5 - place)",
        "tests/test_joints_surgery.py::test_a_copy_is_of_the_block_before_it",
    ),
    Fault(
        "largest and mean spectral norm of a grown block exchanged",
        "nasjac/surgery/grow.py",
        '"spectral_norm": float(norms.spectral.max()),\n            "spectral_norm_mean": float(norms.spectral.mean()),',
        '"spectral_norm": float(norms.spectral.mean()),\n            "spectral_norm_mean": float(norms.spectral.max()),',
        "tests/test_joints_surgery.py::test_the_norms_of_new_blocks_are_those_of_their_jacobians",
    ),
    Fault(
        "new blocks of a model of others all at its end",
        "nasjac/surgery/model_blocks.py",
        "(2 * n + 1) * depth // (2 * count) + 1",
        "(2 * n + 1) * depth // (2 * count)",
        "tests/test_joints_surgery.py::test_new_blocks_of_a_model_are_spread_evenly",
    ),
    # questions and reports
    Fault(
        "one condition of a question is enough",
        "nasjac/store/leaderboard.py",
        "' AND '.join(conditions)",
        "' OR '.join(conditions)",
        "tests/test_query.py::test_questions_to_the_leaderboard",
    ),
    Fault(
        "CSV has the few columns of a table",
        "nasjac/cli/query.py",
        'elif asked.format == "table":',
        'elif asked.format != "json":',
        "tests/test_joints_reports.py::test_csv_and_json_have_every_column_of_the_leaderboard",
    ),
    Fault(
        "an OR in a condition leaves the study",
        "nasjac/cli/query.py",
        'f"(false OR\\n{where}\\n)"',
        'f"false OR\\n{where}\\n"',
        "tests/test_where.py::test_an_or_stays_within_the_study_and_the_limit",
    ),
    Fault(
        "a parenthesis that is closed before it is opened",
        "nasjac/store/expression.py",
        'if token["wrong"] or depth < 0:',
        'if token["wrong"]:',
        "tests/test_where.py::test_no_attack_leaves_its_place",
    ),
    Fault(
        "text of a cell is run as a formula",
        "nasjac/foundation/text_tables.py",
        "and value.startswith(FORMULAS)",
        'and value.startswith("=")',
        "tests/test_query.py::test_no_cell_of_csv_is_a_formula",
    ),
    Fault(
        "the report's front runs in the wrong directions",
        "nasjac/searching/findings.py",
        "pareto_front(values, tuple(objectives.values()))",
        "pareto_front(values, tuple(objectives.values())[::-1])",
        "tests/test_joints_reports.py::test_the_front_is_best_in_the_directions_of_its_objectives",
    ),
    Fault(
        "value and standard error exchanged on the page",
        "nasjac/reporting/page.py",
        'plus_minus(row.get(name), row.get(f"{name}_se"), ".3f")',
        'plus_minus(row.get(f"{name}_se"), row.get(name), ".3f")',
        "tests/test_joints_reports.py::test_the_page_shows_values_with_their_errors",
    ),
    Fault(
        "what others keep in a report's folder is lost when it is replaced",
        "nasjac/foundation/atomic_files.py",
        "            os.rename(entry.path, there)",
        "            shutil.rmtree(entry.path) if entry.is_dir() else os.unlink(entry.path)",
        "tests/test_atomic_files.py::test_what_is_written_is_there_and_the_rest_stays",
    ),
    Fault(
        "text of a leaderboard is a formula in a spreadsheet",
        "nasjac/foundation/text_tables.py",
        "[spreadsheet_safe(_plain(value)) for value in line]",
        "[_plain(value) for value in line]",
        "tests/test_strangers_report.py::test_no_cell_of_the_leaderboard_is_a_formula",
    ),
    Fault(
        "a checkpoint's weights are rounded to the network's types",
        "nasjac/store/checkpoints/weights.py",
        "tensor.dtype != wanted[name].dtype or tensor.is_sparse]",
        "tensor.is_sparse]",
        "tests/test_crafted_checkpoints.py::test_weights_of_another_type_are_named_and_not_rounded",
    ),
    Fault(
        "forward and backward exchanged in the report's profiles",
        "nasjac/searching/figures.py",
        "if layer.direction == direction]",
        "if layer.direction != direction]",
        "tests/test_joints_reports.py::test_profiles_are_drawn_in_their_directions",
    ),
    Fault(
        "the best and the worst profiles exchanged",
        "nasjac/searching/report.py",
        "best: others[:few],\n        worst: others[few:][-few:],",
        "best: others[few:][-few:],\n        worst: others[:few],",
        "tests/test_joints_reports.py::test_the_best_profiles_are_of_the_least_cost",
    ),
    Fault(
        "the weakest rival is called the strongest",
        "nasjac/searching/agreement.py",
        "return sorted(found, key=_ranked, reverse=True)",
        "return sorted(found, key=_ranked)",
        "tests/test_report.py::test_rivals_are_random_and_equal_in_parameters",
    ),
    Fault(
        "best and median accuracy of a role exchanged",
        "nasjac/searching/findings.py",
        '{"best accuracy": max(ranked), "median accuracy": statistics.median(ranked)}',
        '{"best accuracy": statistics.median(ranked), "median accuracy": max(ranked)}',
        "tests/test_joints_reports.py::test_best_and_median_of_a_role_are_those_of_its_accuracies",
    ),
    Fault(
        "the difference to the rival turned round",
        "nasjac/reporting/wording.py",
        'best["accuracy"] - rival["accuracy"]',
        'rival["accuracy"] - best["accuracy"]',
        "tests/test_joints_reports.py::test_the_difference_is_the_recommended_less_its_rival",
    ),
    Fault(
        "an accuracy of the worst learning rate in the report",
        "nasjac/searching/validated.py",
        "rate = max(sorted(by_rate)",
        "rate = min(sorted(by_rate)",
        "tests/test_report.py::test_an_accuracy_is_that_of_the_best_rate_and_carries_the_seeds_error",
    ),
    Fault(
        "the report's predictor is the first objective by name",
        "nasjac/searching/stored.py",
        "return dict(zip(names, directions(names), strict=True))",
        "return dict(sorted(zip(names, directions(names), strict=True), reverse=True))",
        "tests/test_joints_reports.py::test_the_predictor_of_a_search_is_its_first_objective",
    ),
    # tables of trained architectures, models of others, and the command line
    Fault(
        "the best baseline is the largest, not the farthest from zero",
        "nasjac/tables/agreement.py",
        "best = max(known, key=lambda name: abs(known[name][0]))",
        "best = max(known, key=lambda name: known[name][0])",
        "tests/test_correlate.py::test_a_baseline_serves_in_either_direction",
    ),
    Fault(
        "the top k are the k lowest",
        "nasjac/mathematics/rank_correlation.py",
        'np.argsort(-values, kind="stable")[:k]',
        'np.argsort(values, kind="stable")[:k]',
        "tests/test_ranking.py::test_top_k_counts_hits_and_regret",
    ),
    Fault(
        "the halves choose and report exchanged",
        "nasjac/tables/correlate.py",
        "HALVES[1 + parity]",
        "HALVES[2 - parity]",
        "tests/test_joints_scores.py::test_each_half_is_that_of_the_hash_of_its_architectures",
    ),
    Fault(
        "forward and backward exchanged in the table of diagnose",
        "nasjac/models/diagnosis_report.py",
        "forward, backward = found.layers[:count], found.layers[count:]",
        "backward, forward = found.layers[:count], found.layers[count:]",
        "tests/test_joints_scores.py::test_the_table_of_a_diagnosis_has_forward_norms_under_forward",
    ),
    Fault(
        "weight gradients are told one layer too early",
        "nasjac/models/diagnose.py",
        "by_block = dict(zip(first.blocks,",
        "by_block = dict(zip((*first.blocks[1:], first.blocks[0]),",
        "tests/test_diagnose.py::test_weight_gradients_are_exact",
    ),
    Fault(
        "prescribe confirms at the target's negative",
        "nasjac/models/prescribe_spec.py",
        'abs(after["sampled_mean_log"] - band.target)',
        'abs(after["sampled_mean_log"] + band.target)',
        "tests/test_joints_scores.py::test_a_prescription_is_confirmed_at_its_target",
    ),
    Fault(
        "nasjac prescribe model= takes the tolerance for the target",
        "nasjac/cli/commands.py",
        "numbers = (config.target, config.tolerance, config.seed)",
        "numbers = (config.tolerance, config.target, config.seed)",
        "tests/test_joints_reports.py::test_options_of_prescribe_are_what_they_are_called",
    ),
    Fault(
        "nasjac prune takes points for steps of fine-tuning",
        "nasjac/cli/grow_and_prune.py",
        "config.points, config.fine_tune, config.learning_rate",
        "config.fine_tune, config.points, config.learning_rate",
        "tests/test_joints_surgery.py::test_options_of_prune_are_what_they_are_called",
    ),
    Fault(
        "nasjac grow exchanges the two smallnesses",
        "nasjac/cli/grow_and_prune.py",
        "config.epsilon_spectral, config.epsilon_rms, config.force",
        "config.epsilon_rms, config.epsilon_spectral, config.force",
        "tests/test_joints_surgery.py::test_options_of_grow_are_what_they_are_called",
    ),
    # which data, which machine, which form of a network
    Fault(
        "labels are not in the digest of data",
        "nasjac/datasets/data.py",
        "splits = (self.train_inputs, self.train_labels, self.valid_inputs, self.valid_labels)",
        "splits = (self.train_inputs, self.valid_inputs)",
        "tests/test_same_data.py::test_a_digest_tells_data_apart",
    ),
    Fault(
        "trainings on other data are taken for this task's",
        "nasjac/store/store.py",
        "(:dataset_digest IS NULL OR dataset_digest = :dataset_digest)",
        "(:dataset_digest IS NULL OR TRUE)",
        "tests/test_store.py::test_validations",
    ),
    Fault(
        "trainings on unknown data are taken for this task's",
        "nasjac/store/store.py",
        "(:dataset_digest IS NULL OR dataset_digest = :dataset_digest)",
        "(:dataset_digest IS NULL OR coalesce(dataset_digest, :dataset_digest) = :dataset_digest)",
        "tests/test_same_data.py::test_trainings_on_unknown_data_are_marked_and_count_for_nothing",
    ),
    Fault(
        "trainings on unknown data count on the leaderboard",
        "nasjac/store/schema.py",
        '"own": "o.dataset_digest = s.dataset_digest"',
        '"own": "coalesce(o.dataset_digest, s.dataset_digest) = s.dataset_digest"',
        "tests/test_same_data.py::test_trainings_on_unknown_data_are_marked_and_count_for_nothing",
    ),
    Fault(
        "a checkpoint of other data of the same name is taken for saved",
        "nasjac/searching/validate.py",
        "if info.get(name) != value]",
        'if name != "dataset_digest" and info.get(name) != value]',
        "tests/test_validate.py::test_other_data_of_the_same_name_are_trained_on",
    ),
    Fault(
        "a changed checkpoint keeps the name of the data that it was trained on",
        "nasjac/surgery/trained.py",
        "name = self.dataset or (",
        'name = self.info.get("dataset") or (',
        "tests/test_same_data.py::test_a_changed_checkpoint_says_which_data_its_figures_are_on",
    ),
    Fault(
        "a checkpoint of unknown data is taken for one of the data at hand",
        "nasjac/surgery/trained.py",
        "{name: self.info.get(name, UNKNOWN) for name in OF_TRAINING}",
        '{name: self.info.get(name, UNKNOWN) for name in OF_TRAINING} | {"dataset_digest": self.data.digest}',
        "tests/test_same_data.py::test_a_changed_checkpoint_says_which_data_its_figures_are_on",
    ),
    Fault(
        "a study measured by other formulas is validated",
        "nasjac/searching/stored.py",
        "if old != new:",
        'if old["name"] != new["name"]:',
        "tests/test_same_data.py::test_a_study_measured_by_other_formulas_is_neither_gone_on_with_nor_validated",
    ),
    Fault(
        "what racing stopped is taken again",
        "nasjac/architecture/measurement.py",
        "not in OF_THE_MACHINE and not self.raced and self.pattern_of is None",
        "not in OF_THE_MACHINE and self.pattern_of is None",
        "tests/test_history.py::test_what_racing_stopped_or_an_ensemble_sampled_is_not_taken_again",
    ),
    Fault(
        "what an ensemble sampled is taken again",
        "nasjac/architecture/measurement.py",
        "not in OF_THE_MACHINE and not self.raced and self.pattern_of is None",
        "not in OF_THE_MACHINE and not self.raced",
        "tests/test_history.py::test_what_racing_stopped_or_an_ensemble_sampled_is_not_taken_again",
    ),
    Fault(
        "what the machine decided is taken again",
        "nasjac/architecture/measurement.py",
        "return self.status not in OF_THE_MACHINE and not self.raced",
        "return not self.raced",
        "tests/test_history.py::test_the_newest_measurement_replaces_one_of_the_machine_and_no_other",
    ),
    Fault(
        "what the machine decided replaces a figure",
        "nasjac/architecture/measurement.py",
        'if earlier.status == "ok":',
        'if earlier.status == self.status == "ok":',
        "tests/test_history.py::test_what_replaces_what",
    ),
    Fault(
        "networks of one key around a checkpoint share their measurement",
        "nasjac/searching/warm_search.py",
        '_digest([self.score_id, self.token("", choices)])',
        "_digest([self.score_id, found.key])",
        "tests/test_warm.py::test_equal_blocks_pruned_are_equal_specs_and_different_networks"
        " tests/test_warm.py::test_the_database_keeps_networks_of_one_key_apart",
    ),
    Fault(
        "a resume measures again what an interrupted batch has settled",
        "nasjac/searching/loop.py",
        "for token, row in self._asked_before.items() if token in fresh}",
        "for token, row in self._asked_before.items() if token is None}",
        "tests/test_warm.py::test_a_search_that_was_stopped_goes_on_like_the_unbroken_one",
    ),
    Fault(
        "racing studies share their measurements",
        "nasjac/searching/search.py",
        "racing.score_id(self.score_id, study) if self.options.racing else self.score_id",
        "self.score_id",
        "tests/test_history.py::test_racing_studies_of_different_budgets_do_not_share_what_they_raced",
    ),
    Fault(
        "measurements are of no run",
        "nasjac/store/store.py",
        "measurement_columns(item, score, score_id, created) | self._origin",
        'measurement_columns(item, score, score_id, created) | {**self._origin, "run_id": None}',
        "tests/test_fingerprint.py::test_what_is_recorded_within_a_run_is_that_runs",
    ),
    Fault(
        "trainings are of no run",
        "nasjac/store/store.py",
        "replace(row, created=created, **self._origin)",
        "replace(row, created=created)",
        "tests/test_fingerprint.py::test_what_is_recorded_within_a_run_is_that_runs",
    ),
    Fault(
        "what is recorded after a run is still that run's",
        "nasjac/store/store.py",
        "(now(), status, to_json(timings), to_json(notes), run_id),\n            )\n"
        '        self._origin = {"run_id": None, "fingerprint": None}',
        "(now(), status, to_json(timings), to_json(notes), run_id),\n            )",
        "tests/test_fingerprint.py::test_what_is_recorded_within_a_run_is_that_runs",
    ),
    Fault(
        "networks stored with a step are not found by their keys of today",
        "nasjac/store/former.py",
        """instr(spec, '"step"') OR """,
        "",
        "tests/test_former_keys.py::test_what_is_stored_under_a_former_key_is_found_by_either",
    ),
    Fault(
        "what is stored under a former key is not found by today's",
        "nasjac/store/store.py",
        "{key: [key, *self._former.get(key, [])] for key in keys}",
        "{key: [key] for key in keys}",
        "tests/test_former_keys.py::test_trainings_under_a_former_key_are_found_by_todays",
    ),
    Fault(
        "facts are of the form in which a network was proposed",
        "nasjac/kinds/facts.py",
        'specs = [spec.canonical for spec in items("specs", specs, Spec, "Spec")]',
        "specs = list(specs)",
        "tests/test_former_keys.py::test_one_network_has_one_key",
    ),
    # a stranger's database
    Fault(
        "a reader that closes last leaves the log",
        "nasjac/store/place.py",
        'elif _beside(self.path, "-wal").exists():',
        "elif False:",
        "tests/test_one_file.py::test_whoever_closes_last_leaves_one_file",
    ),
    Fault(
        "a log that cannot be folded in is passed over",
        "nasjac/store/place.py",
        "if not _size(log):",
        "if True:",
        "tests/test_one_file.py::test_a_log_where_nothing_can_be_written_is_read_or_named",
    ),
    Fault(
        "what SQLite refuses is a traceback",
        "nasjac/store/boundary.py",
        "except sqlite3.Error as error:",
        "except sqlite3.InterfaceError as error:",
        "tests/test_crafted_databases.py",
    ),
    Fault(
        "numbers of rows may be infinite",
        "nasjac/store/typed.py",
        "allow_inf_nan=False",
        "allow_inf_nan=True",
        "tests/test_crafted_databases.py",
    ),
    Fault(
        "another view of the same name is taken for ours",
        "nasjac/store/genuine.py",
        "tuple(_pieces(str(text)))",
        "()",
        "tests/test_crafted_databases.py",
    ),
)
