"""The operational tables."""

from csf.models.breakers import Breaker
from csf.models.clusters import Cluster
from csf.models.form_presses import FormPress
from csf.models.instances import Instance
from csf.models.job_runs import JobRun
from csf.models.proof_runs import ProofRun
from csf.models.staff_tasks import OperationTask, StaffTask, kind_title, staff_task_kinds, task_kinds

__all__ = [
    "Breaker",
    "Cluster",
    "FormPress",
    "Instance",
    "JobRun",
    "OperationTask",
    "ProofRun",
    "StaffTask",
    "kind_title",
    "staff_task_kinds",
    "task_kinds",
]
